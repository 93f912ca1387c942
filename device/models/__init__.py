"""The shipped models: NAME.tflite beside its card NAME.json; the card's numbers travel with the weights."""
