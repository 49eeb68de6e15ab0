"""Faces: detection, tracking, identity, selection and alignment."""
