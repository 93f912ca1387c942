"""The computer: state, systemd, log, files, clocks, software."""
