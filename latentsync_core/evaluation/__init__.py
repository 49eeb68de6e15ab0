"""Scores of lip-sync: SyncNet and its mel spectrograms."""
