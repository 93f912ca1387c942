"""From a trained network to the full-integer .tflite and the model card that the device runs."""
