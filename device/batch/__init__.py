"""Counting files side by side: resuming, replaying, reporting."""
