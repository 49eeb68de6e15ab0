"""Weights files on disk, read safely."""
