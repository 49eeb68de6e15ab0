"""Who speaks: the active speaker of a clip, and the persons that its speakers are."""
