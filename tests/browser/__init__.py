"""Tests that drive ComfyUI's own page in chromium; skipped with the reason where one of the two is missing."""
