"""Hands and objects that occlude a face, with their masks."""
