"""How a patch blends into its frame: the region that speech moves, steady in time, and the patch's colour and grain."""
