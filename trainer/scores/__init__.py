"""How well a network counts, by the code that counts on the device."""
