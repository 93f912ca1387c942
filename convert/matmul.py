"""Makes device/bench/matmul.tflite: one int8 matrix product, the practical limit of an interpreter.

python -m convert.matmul
"""

import keras
import numpy as np

from device.bench.limit import COLUMNS, DEPTH, MATMUL, ROWS
from device.machine.files import write_atomic


def matmul_tflite() -> bytes:
    """A fully connected layer without bias or activation on (ROWS, DEPTH), full-integer, weights drawn with seed 1."""
    import tensorflow as tf

    keras.utils.set_random_seed(1)
    given = keras.Input(batch_shape=(ROWS, DEPTH))
    model = keras.Model(given, keras.layers.Dense(COLUMNS, use_bias=False)(given))
    rng = np.random.default_rng(1)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: (
        [rng.uniform(0, 1, (ROWS, DEPTH)).astype(np.float32)] for _ in range(4)
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8
    return converter.convert()


if __name__ == "__main__":
    write_atomic(MATMUL, matmul_tflite())
