"""Inputs given as https addresses: fetched, checked and kept."""
