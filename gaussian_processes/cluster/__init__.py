"""Cluster of the hosts of one training job, and the Cholesky factor distributed over them."""
