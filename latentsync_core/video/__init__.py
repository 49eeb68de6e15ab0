"""Clips and frames in their own pixel format."""
