"""Dialogue by lines: reading and checking them, laying fitted speech on a clip's times, mixing and checking voices."""
