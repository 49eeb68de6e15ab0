"""Whisper tiny, and its last blocks tuned so that one of its states tells how the mouth moves."""
