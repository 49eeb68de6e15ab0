"""Rendered talking heads with known mouths: heads, speech, occluders and scenes."""
