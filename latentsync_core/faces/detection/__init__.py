"""One frame's faces: boxes, meshes, landmarks, head pose and sharpness."""
