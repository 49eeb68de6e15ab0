"""Measurements, each one command; what they printed is kept in benchmarks/README.md."""
