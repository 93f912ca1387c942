"""From a probability map to separate objects."""
