"""Rewrites a trained network so that the fast kernels of the interpreter run all of it.

Same function, other operators: XNNPACK has no integer transposed convolution whose output shape is found at run time,
and a dilated convolution of free size becomes four operators around it. Left to the reference kernels these cost more
than the rest of the network. The shape is therefore fixed (the interpreter can still resize it), and a transposed
convolution whose kernel is its stride becomes a 1x1 convolution and a rearrangement of its channels.
"""

from typing import Any

import keras
import numpy as np
from keras import layers

from trainer.network.resunet import Tensor

LOGIT_LIMIT = 6.0


class DepthToSpace(layers.Layer):
    """(n, h, w, s * s * c) to (n, s * h, s * w, c): each pixel's channels become a block of s x s pixels."""

    def __init__(self, step: int, **options: Any) -> None:
        super().__init__(**options)
        self.step = step

    def call(self, x: Tensor) -> Tensor:
        """One operator in the converted graph."""
        import tensorflow as tf

        return tf.nn.depth_to_space(x, self.step)


def _enlarging(layer: layers.Layer) -> bool:
    """A transposed convolution whose blocks do not overlap."""
    return isinstance(layer, layers.Conv2DTranspose) and layer.kernel_size == layer.strides


def _rewrite(layer: layers.Layer) -> layers.Layer:
    if not _enlarging(layer):
        return layer.__class__.from_config(layer.get_config())
    step = layer.strides[0]
    pointwise = layers.Conv2D(step * step * layer.filters, 1)
    return keras.Sequential([pointwise, DepthToSpace(step)], name=layer.name)


def _weights(layer: layers.Layer) -> list[np.ndarray]:
    if not _enlarging(layer):
        return layer.get_weights()
    kernel, bias = layer.get_weights()
    # (height, width, out, in) to (1, 1, in, height * width * out): depth_to_space reads blocks row by row.
    pointwise = kernel.transpose(3, 0, 1, 2).reshape(1, 1, kernel.shape[3], -1)
    return [pointwise, np.tile(bias, kernel.shape[0] * kernel.shape[1])]


def deployable(model: keras.Model, height: int, width: int) -> keras.Model:
    """Images (1, height, width, 3) to probabilities, the logit clipped to +-LOGIT_LIMIT.

    The clip is written as min and max of a sixth of the logit with -1 and 1, which the converter fuses into the last
    convolution, so that no wider int8 tensor ever holds the logit.
    """
    logit = keras.Model(model.input, model.get_layer("logit").output)
    scaled = keras.models.clone_model(logit, clone_function=_rewrite)
    for original, rewritten in zip(logit.layers, scaled.layers, strict=True):
        weights = _weights(original)
        if original.name == "logit":
            weights = [values / LOGIT_LIMIT for values in weights]
        rewritten.set_weights(weights)
    image = keras.Input(batch_shape=(1, height, width, 3), name="image")
    sixth = keras.ops.maximum(keras.ops.minimum(scaled(image), 1.0), -1.0)
    return keras.Model(image, keras.ops.sigmoid(LOGIT_LIMIT * sixth))
