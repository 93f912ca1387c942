"""How sure a count is: features, probabilities, interval, flags."""
