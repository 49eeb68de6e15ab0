"""How much memory the networks take, and what to change where a device has less."""
