"""Faces: detection, tracking, identity, smoothing, occlusion, and the speed of finding them."""
