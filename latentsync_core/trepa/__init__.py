"""Temporal coherence in the space of a self-supervised video encoder: the encoder, the loss, the scores."""
