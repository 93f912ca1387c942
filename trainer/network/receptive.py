"""Receptive field and cost of a network, computed from its layers (never from a table)."""

from collections.abc import Iterator

import keras
import msgspec
from keras import layers

FRAME_WIDTH_PX, FRAME_HEIGHT_PX = 1600, 1200

Sources = dict[layers.Layer, list[layers.Layer]]
"""For each layer those whose outputs it reads."""


class Reach(msgspec.Struct, frozen=True):
    """How far an output pixel looks, over all positions relative to the strides.

    Attributes:
        stride_px: total stride; the network is shift-equivariant by multiples of it.
        least_px, most_px: over the positions and directions, the shortest and the longest reach
            per side (pixels beyond the output pixel itself).
    """

    stride_px: int
    least_px: int
    most_px: int


def _sources(model: keras.Model) -> Sources:
    """Of a model, from what Keras would save of it."""
    return {
        model.get_layer(saved["name"]): [
            model.get_layer(name) for name in _history(saved["inbound_nodes"])
        ]
        for saved in model.get_config()["layers"]
    }


def _history(saved: object) -> Iterator[str]:
    """Names of the layers whose tensors occur in a saved call."""
    if isinstance(saved, dict) and "keras_history" in saved:
        yield saved["keras_history"][0]
    elif isinstance(saved, dict):
        yield from _history(list(saved.values()))
    elif isinstance(saved, list | tuple):
        for part in saved:
            yield from _history(part)


def _same_padding(layer: layers.Layer) -> tuple[int, int]:
    """Pixels read before and after the position by a stride-1 "same" convolution (vertical axis)."""
    span = (layer.kernel_size[0] - 1) * layer.dilation_rate[0]
    return span // 2, span - span // 2


def _read_interval(layer: layers.Layer, low: int, high: int) -> tuple[int, int]:
    """Input rows that a layer reads for its output rows low..high."""
    if isinstance(layer, layers.MaxPooling2D | layers.AveragePooling2D):
        stride, size = layer.strides[0], layer.pool_size[0]
        before = (size - 1) // 2 if stride == 1 else 0
        return low * stride - before, high * stride - before + size - 1
    if isinstance(layer, layers.Conv2DTranspose):
        stride = layer.strides[0]
        return low // stride, high // stride
    if isinstance(layer, layers.UpSampling2D):
        return low // layer.size[0], high // layer.size[0]
    if isinstance(layer, layers.Conv2D | layers.SeparableConv2D | layers.DepthwiseConv2D):
        if layer.strides[0] > 1:
            stride = layer.strides[0]
            return low * stride, high * stride + layer.kernel_size[0] - 1
        before, after = _same_padding(layer)
        return low - before, high + after
    return low, high


def _input_rows(model: keras.Model, sources: Sources, row: int) -> tuple[int, int]:
    """First and last input row that output row `row` depends on."""
    wanted = {model.get_layer(model.output_names[0]): (row, row)}
    for layer in reversed(model.layers):
        if layer not in wanted:
            continue
        low, high = _read_interval(layer, *wanted[layer])
        for source in sources[layer]:
            known = wanted.get(source, (low, high))
            wanted[source] = (min(low, known[0]), max(high, known[1]))
    return wanted[model.layers[0]]


def total_stride(model: keras.Model) -> int:
    """Product of the strides down to the coarsest level."""
    down, sources = {model.layers[0]: 1}, _sources(model)
    for layer in model.layers[1:]:
        stride = max(down[source] for source in sources[layer])
        if isinstance(layer, layers.Conv2DTranspose):
            stride //= layer.strides[0]
        elif isinstance(layer, layers.UpSampling2D):
            stride //= layer.size[0]
        elif hasattr(layer, "strides"):
            stride *= layer.strides[0]
        down[layer] = stride
    return max(down.values())


def reach(model: keras.Model) -> Reach:
    """Receptive field per side, over every position relative to the strides.

    For c-ResUNet 92 to 99 px.
    """
    stride, sources = total_stride(model), _sources(model)
    origin = 4096 * stride
    sides = []
    for row in range(origin, origin + stride):
        low, high = _input_rows(model, sources, row)
        sides += [row - low, high - row]
    return Reach(stride, min(sides), max(sides))


def _layer_macs(layer: layers.Layer, pixels_out: int, pixels_in: int) -> int:
    """Multiply-accumulates of one layer."""
    if isinstance(layer, layers.Conv2DTranspose):
        kernel = layer.kernel.shape
        return pixels_in * kernel[0] * kernel[1] * kernel[2] * kernel[3]
    if isinstance(layer, layers.SeparableConv2D):
        depthwise, pointwise = layer.depthwise_kernel.shape, layer.pointwise_kernel.shape
        return pixels_out * (
            depthwise[0] * depthwise[1] * depthwise[2] * depthwise[3] + pointwise[2] * pointwise[3]
        )
    if isinstance(layer, layers.Conv2D):
        kernel = layer.kernel.shape
        return pixels_out * kernel[0] * kernel[1] * kernel[2] * kernel[3]
    return 0


def gmac(model: keras.Model, height: int, width: int) -> float:
    """Multiply-accumulates in 1e9 for one pass over (height, width), batch norm folded away."""
    shapes, sources = {model.layers[0]: (height, width)}, _sources(model)
    total = 0
    for layer in model.layers[1:]:
        rows, columns = shapes[sources[layer][0]]
        if isinstance(layer, layers.Conv2DTranspose):
            out = rows * layer.strides[0], columns * layer.strides[1]
        elif isinstance(layer, layers.UpSampling2D):
            out = rows * layer.size[0], columns * layer.size[1]
        elif hasattr(layer, "strides"):
            out = -(-rows // layer.strides[0]), -(-columns // layer.strides[1])
        else:
            out = rows, columns
        total += _layer_macs(layer, out[0] * out[1], rows * columns)
        shapes[layer] = out
    return total / 1e9


def gmac_per_frame(model: keras.Model, working_scale: float) -> float:
    """For one 1600x1200 frame at the working scale (working px per frame px), without overlap."""
    stride = total_stride(model)
    height, width = (
        -(-round(size * working_scale) // stride) * stride
        for size in (FRAME_HEIGHT_PX, FRAME_WIDTH_PX)
    )
    return gmac(model, height, width)
