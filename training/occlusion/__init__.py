"""The network that finds occluders."""
