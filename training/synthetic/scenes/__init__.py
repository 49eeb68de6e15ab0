"""Clips and films of several heads, with ground truth."""
