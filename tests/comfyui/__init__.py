"""Tests against a real ComfyUI server; skipped with the reason where there is none."""
