"""Alignment: from landmarks to the networks' square crop, and its mouth mask."""
