"""Benchmarks of speed, memory and quality, as commands: README.md lists them."""
