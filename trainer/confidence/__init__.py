"""Fitting and checking what a card says about certainty."""
