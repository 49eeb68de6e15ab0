"""Files on disk: scratch folders, atomic writes, checks of outputs before the work."""
