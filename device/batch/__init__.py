"""Counts many files in parallel; resume, replay and report."""
