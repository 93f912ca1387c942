"""Annotated frames, their splits, and crops made from them."""
