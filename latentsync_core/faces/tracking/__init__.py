"""A clip's faces through time: shots, tracklets and tracks."""
