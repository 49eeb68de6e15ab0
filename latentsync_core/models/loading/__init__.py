"""Known models: found, downloaded, checked, loaded and bundled."""
