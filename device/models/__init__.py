"""The shipped models: NAME.tflite beside its card NAME.json, which has all numbers that belong to the weights."""
