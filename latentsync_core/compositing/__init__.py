"""Generated mouths pasted into the clip's own frames, and written as video, layers or crops."""
