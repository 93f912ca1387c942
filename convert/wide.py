"""The wide form of a stage: neighbouring columns of the image as one pixel, with their channels side by side.

A (h, w, c) tensor is a (h, w / n, n * c) tensor in the same order in memory. XNNPACK pays a price for every pixel that
a convolution writes, however few channels it has. In the wide form it pays that for a fraction of the pixels, but a
kernel multiplies with zeros where it reaches columns that one of the packed pixels does not look at. That is a gain
where a processor multiplies int8 faster than it handles pixels (an int8 dot product), and a loss on a Cortex-A72.

Every product and sum of the plain form is in the wide one, and zeros; both give the same numbers, bit for bit.
"""

import copy
import itertools
from typing import Any

import numpy as np

from convert.quantize import operator_name

_SAME = 0
"""Padding in the schema of TFLite: the output has the size of the input."""
Layout = np.ndarray
"""(n, 2) integers: column within a packed pixel, and channel there, of each channel of a wide tensor."""


class _Widening:
    """A stage on the way to its wide form. Tensors keep their places in the stage's list of tensors."""

    def __init__(self, model: Any, part: Any, columns: int) -> None:
        self.model, self.columns = model, columns
        self.part = copy.copy(part)
        self.part.tensors = [copy.copy(tensor) for tensor in part.tensors]
        self.part.operators = [copy.copy(operator) for operator in part.operators]
        self.layouts: dict[int, Layout] = {}
        for tensor in part.inputs:
            self._place(tensor, _side_by_side(columns, int(part.tensors[tensor].shape[3])))

    def run(self) -> Any:
        """The wide stage; None if one of its operators has no wide form."""
        steps = {
            "CONV_2D": self._convolve,
            "DEPTH_TO_SPACE": self._enlarge,
            "CONCATENATION": self._concatenate,
            "MUL": self._elementwise,
            "ADD": self._elementwise,
            "LOGISTIC": self._elementwise,
        }
        for operator in self.part.operators:
            step = steps.get(operator_name(self.model, operator))
            if step is None or (step == self._convolve and not self._has_wide_form(operator)):
                return None
            step(operator)
        return self.part

    def _place(self, tensor: int, layout: Layout) -> None:
        """Give a tensor that passes between operators its wide shape."""
        _, height, width, _ = self.part.tensors[tensor].shape
        self.part.tensors[tensor].shape = [1, height, width // self.columns, len(layout)]
        self.layouts[tensor] = layout

    def _convolve(self, operator: Any) -> None:
        source, kernel, bias = operator.inputs
        (target,) = operator.outputs
        values = self._values(kernel, np.int8)
        step = self._step_of_enlargement(target)
        layout = (
            _side_by_side(self.columns, len(values))
            if step is None
            else _before_enlargement(self.columns, len(values), step)
        )
        self._replace(kernel, widen_kernel(values, self.layouts[source], layout, self.columns))
        self._replace(bias, self._values(bias, np.int32)[layout[:, 1]])
        for constant in (kernel, bias):
            self._repeat_scales(constant, layout[:, 1])
        self._place(target, layout)

    def _has_wide_form(self, convolution: Any) -> bool:
        """Every pixel is computed, from its direct neighbours."""
        options = convolution.builtinOptions
        width = int(self.part.tensors[convolution.inputs[1]].shape[2])
        is_same = width == 1 or options.padding == _SAME
        return bool(is_same and width % 2 and (options.strideW, options.dilationWFactor) == (1, 1))

    def _enlarge(self, operator: Any) -> None:
        (target,) = operator.outputs
        channels = int(self.part.tensors[target].shape[3])
        self._place(target, _side_by_side(self.columns, channels))

    def _concatenate(self, operator: Any) -> None:
        (target,) = operator.outputs
        parts, channels = [], 0
        for source in operator.inputs:
            layout = self.layouts[source]
            parts.append(layout + np.array([0, channels]))
            channels += 1 + int(layout[:, 1].max())
        self._place(target, np.concatenate(parts))

    def _elementwise(self, operator: Any) -> None:
        varying = [tensor for tensor in operator.inputs if tensor in self.layouts]
        layout = self.layouts[varying[0]]
        assert all(np.array_equal(self.layouts[tensor], layout) for tensor in varying)
        for constant in set(operator.inputs) - set(varying):
            values = self._values(constant, np.int8)
            if values.size > 1:
                self._replace(constant, values.ravel()[layout[:, 1]])
        self._place(operator.outputs[0], layout)

    def _step_of_enlargement(self, tensor: int) -> int | None:
        """The block of the DEPTH_TO_SPACE that reads a tensor, if one does."""
        for operator in self.part.operators:
            is_one = operator_name(self.model, operator) == "DEPTH_TO_SPACE"
            if is_one and tensor in operator.inputs:
                return int(operator.builtinOptions.blockSize)
        return None

    def _values(self, tensor: int, dtype: type) -> np.ndarray:
        one = self.part.tensors[tensor]
        data = np.asarray(self.model.buffers[one.buffer].data, dtype=np.uint8)
        return data.view(dtype).reshape([int(side) for side in one.shape])

    def _replace(self, tensor: int, values: np.ndarray) -> None:
        """Give a constant other values, in a buffer of its own."""
        from tensorflow.lite.python import schema_py_generated as schema

        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), dtype=np.uint8)
        self.model.buffers.append(buffer)
        one = self.part.tensors[tensor]
        one.buffer, one.shape = len(self.model.buffers) - 1, list(values.shape)

    def _repeat_scales(self, tensor: int, channels: np.ndarray) -> None:
        one = self.part.tensors[tensor]
        one.quantization = copy.copy(one.quantization)
        for name in ("scale", "zeroPoint"):
            values = np.asarray(getattr(one.quantization, name))
            if values.size > 1:
                setattr(one.quantization, name, values[channels])


def widen(model: Any, part: Any, columns: int) -> Any:
    """The wide form of a stage with the same names for what it reads and writes.

    Args:
        model: the file (flatbuffer objects); the constants of the wide form are added to it.
        part: the stage, a subgraph.
        columns: how many columns become one pixel, at every level of the stage.

    Returns:
        A subgraph; None if an operator of the stage has no wide form.
    """
    return _Widening(model, part, columns).run()


def widen_kernel(kernel: np.ndarray, reads: Layout, writes: Layout, columns: int) -> np.ndarray:
    """The kernel of a convolution between wide tensors.

    Args:
        kernel: (out, height, width, in), odd width.
        reads, writes: layouts of the tensors.
        columns: in a packed pixel.

    Returns:
        (len(writes), height, wide width, len(reads)), zero where the plain kernel does not reach.
    """
    _, height, width, _ = kernel.shape
    reach = width // 2
    far = -(-reach // columns)
    wide = np.zeros((len(writes), height, 2 * far + 1, len(reads)), dtype=kernel.dtype)
    for tap, source, target in itertools.product(
        range(-far, far + 1), range(columns), range(columns)
    ):
        offset = tap * columns + source - target
        if abs(offset) > reach:
            continue
        into, out_of = writes[:, 0] == target, reads[:, 0] == source
        taken = kernel[:, :, offset + reach][writes[into, 1]][:, :, reads[out_of, 1]]
        wide[np.ix_(into, np.arange(height), [tap + far], out_of)] = taken[:, :, None]
    return wide


def _side_by_side(columns: int, channels: int) -> Layout:
    """The channels of the first column, of the second, ...: as they lie in memory."""
    pairs = np.indices((columns, channels)).reshape(2, -1)
    return pairs.T


def _before_enlargement(columns: int, channels: int, step: int) -> Layout:
    """So that an enlargement by `step` gives columns side by side again, `step` packed pixels from each."""
    left = channels // step**2
    row, block, column, channel = (one.ravel() for one in np.indices((step, step, columns, left)))
    full = block * columns + column  # a column of the enlarged image within the packed pixel
    return np.stack([full // step, (row * step + full % step) * left + channel], axis=1)
