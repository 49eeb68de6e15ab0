"""Lists the frames that a player shows, with their stamps and rate, from packets or by decoding."""
