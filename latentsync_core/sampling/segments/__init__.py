"""Dialogue by lines: each line is sampled by itself, with settings of its own and from its own sound alone."""
