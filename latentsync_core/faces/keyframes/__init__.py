"""Faces that the user marks on key frames, followed between them."""
