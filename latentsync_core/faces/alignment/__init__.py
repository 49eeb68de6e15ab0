"""From landmarks to the square crop that the networks take, and its mouth mask."""
