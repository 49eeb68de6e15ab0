"""Trains and measures small lip-sync models on rendered heads; the pack itself never imports this."""
