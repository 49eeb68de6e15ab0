"""Frames to files: encoding, muxing, proxies."""
