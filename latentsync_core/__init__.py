"""LatentSync Dub's engine: lip-sync a clip to a voice, streaming; usable without ComfyUI."""
