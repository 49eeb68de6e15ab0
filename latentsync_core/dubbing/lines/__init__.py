"""Lines of dialogue: reading them from every format, checking and writing them."""
