"""Starts and drives a real ComfyUI: where it is, its server, its prompts and what they answer."""
