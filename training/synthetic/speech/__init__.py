"""Synthesised speech and the mouth shapes that go with it."""
