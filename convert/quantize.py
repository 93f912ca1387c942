"""A float Keras network as a full-integer .tflite: int8 in, int8 out, per channel.

The logit is clipped to +-6 before the sigmoid. Left alone it gets a scale near 0.18, so that
probabilities around 0.5 come in steps of 0.04; clipped, in steps of 0.012, and nothing is lost
(a sigmoid of 6 is 0.9975).
"""

import os
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from convert.graph import deployable
from device.counting.card import Normalisation
from device.errors import ModelError


def with_extremes(tiles: np.ndarray) -> np.ndarray:
    """Calibration tiles (n, h, w, 3) uint8 with one pixel 0 and one 255, so that the input scale is 1/255."""
    tiles = tiles.copy()
    tiles[0, 0, 0], tiles[0, 0, 1] = 0, 255
    return tiles


def quantize(model: keras.Model, tiles: np.ndarray) -> bytes:
    """Convert.

    Args:
        model: float network ending in `logit` and `probability`.
        tiles: (n, h, w, 3) uint8 calibration tiles at the working scale, n >= 100; h and w multiples
            of the total stride.

    Returns:
        The .tflite file of one graph for tiles of this size; the interpreter can resize it.

    Raises:
        ModelError: too few tiles, or the converter left a float tensor in the graph.
    """
    import tensorflow as tf

    if len(tiles) < 100:
        raise ModelError(
            f"Calibration needs at least 100 tiles, not {len(tiles)}; give more frames."
        )
    if keras.backend.backend() != "tensorflow":
        raise ModelError("Conversion needs the TensorFlow backend; unset KERAS_BACKEND.")
    tiles = with_extremes(tiles)
    converter = tf.lite.TFLiteConverter.from_keras_model(deployable(model, *tiles.shape[1:3]))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: (
        [tile[None].astype(np.float32) / 255] for tile in tiles
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8
    return converter.convert()


def open_interpreter(tflite: bytes) -> Any:
    """A LiteRT interpreter of a model in memory."""
    from device.models.interpreter import interpreter_class

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(tflite)
        return interpreter_class()(model_path=os.fspath(path))


def check_integer(tflite: bytes) -> None:
    """Every tensor is int8 or int32 and nothing is quantised or dequantised inside.

    Raises:
        ModelError: naming the tensors or operators that are not.
    """
    interpreter = open_interpreter(tflite)
    odd = {
        f"{tensor['name']} is {np.dtype(tensor['dtype']).name}"
        for tensor in interpreter.get_tensor_details()
        if tensor["dtype"] not in (np.int8, np.int32)
    }
    odd |= {operator for operator in operators(tflite) if "QUANTIZE" in operator}
    if odd:
        raise ModelError(f"The converted network is not full-integer: {', '.join(sorted(odd))}.")


def operators(tflite: bytes) -> list[str]:
    """Names of the operators in order, of all stages."""
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(bytearray(tflite))
    return [operator_name(model, op) for graph in model.subgraphs for op in graph.operators]


def operator_name(model: Any, operator: Any) -> str:
    """Name of an operator's kind, as the schema has it."""
    from tensorflow.lite.tools import flatbuffer_utils

    return str(flatbuffer_utils.opcode_to_name(model, operator.opcodeIndex))


def ends_of(tflite: bytes) -> Normalisation:
    """Quantisation of the first and the last tensor, without float32 rounding.

    Raises:
        ModelError: it is not 1/255 and 1/256 with zero point -128, as the device expects.
    """
    interpreter = open_interpreter(tflite)
    input_scale, input_zero = interpreter.get_input_details()[0]["quantization"]
    output_scale, output_zero = interpreter.get_output_details()[0]["quantization"]
    exact = (
        abs(input_scale * 255 - 1) < 1e-5,
        input_zero == -128,
        abs(output_scale * 256 - 1) < 1e-5,
        output_zero == -128,
    )
    if not all(exact):
        raise ModelError(
            "The converted network must read uint8 samples and write probability codes without rounding "
            f"(1/255, -128 and 1/256, -128), not {input_scale}, {input_zero} and {output_scale}, {output_zero}."
        )
    return Normalisation(
        input_scale=1 / 255, input_zero_point=-128, output_scale=1 / 256, output_zero_point=-128
    )
