"""Whisper tiny, and its last blocks tuned to predict the mouth's shape."""
