"""One head: its shape, surface, light and motion, painted into a frame."""
