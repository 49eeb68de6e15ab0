"""How good a dubbed film is: sync, motion, edges and outcomes of a result beside its source, as data and as a page."""
