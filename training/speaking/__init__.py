"""Fits the function that tells from mouths and sound who speaks."""
