"""Face detection in a single frame: boxes, meshes, landmarks, head pose and sharpness."""
