"""The case: button, status LED, excitation output and their pins."""
