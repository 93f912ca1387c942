"""What the computer is and does: its state, systemd, log, files, clocks, software."""
