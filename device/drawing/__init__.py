"""Pictures of a count: outlines, overlays, lettering."""
