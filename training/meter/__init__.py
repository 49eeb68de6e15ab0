"""The mouth meter: the opening read off pixels."""
