"""Faces that the user marks on key frames, tracked between them."""
