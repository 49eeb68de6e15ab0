"""The small SyncNet."""
