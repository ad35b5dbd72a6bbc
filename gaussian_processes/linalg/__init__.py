"""Linear algebra: BLAS, Cholesky factorisation by panels, few right-hand sides, threads."""
