"""Clips as streams of frames."""
