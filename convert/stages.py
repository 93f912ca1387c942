"""Cutting a converted network at its poolings, so that a device can run each resolution level in bands.

Most of the memory of a U-Net goes to the pointers and activations of its finest convolutions, and most of what tiles
compute twice to the reach of its coarsest ones. Cut into one graph per level the finest layers run in small tiles with
margins of a few pixels, the coarsest on a whole frame at once, and every number stays the same.

A cut network is one .tflite file with a subgraph and a signature per stage. Tensors that pass from stage to stage have
the same name in both; how much smaller than the image they are is told by their shapes in the file.

Stages of fine levels have a second form for fast processors (convert.wide).
"""

import copy
import itertools
import math
from typing import Any

import msgspec

from convert.quantize import operator_name
from convert.wide import widen
from device.counting.card import StageTiling

CUT_LEVELS = 2
"""Poolings, from the finest, at which a network is cut; one with fewer stays whole."""
WIDE_CHANNELS = 64
"""Channels of the finest tensor of a wide stage: with these XNNPACK multiplies at most of its full rate."""
LEAST_COLUMNS = 4
"""With 2 columns (a stage of 32 channels) the products with zeros cost what is gained."""


def cut(tflite: bytes) -> tuple[bytes, tuple[StageTiling, ...]]:
    """Cut a network of one graph.

    Args:
        tflite: int8 network with a fixed input shape (1, h, w, 3).

    Returns:
        The file with one signature per stage, "0", "1", ... in the order in which they run, "0w", ... for the wide
        forms, and how the tiles of each must be cut to be exact; a network without the levels comes back as it is,
        without stages.
    """
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(bytearray(tflite))
    graph = model.subgraphs[0]
    pieces = _pieces(model, graph)
    if not pieces:
        return tflite, ()
    ends = [_ends(model, graph, piece) for piece in pieces]
    work = _work(model, graph, graph.operators)
    tilings = tuple(_tiling(model, graph, piece, work) for piece in pieces)
    parts = {
        str(index): _subgraph(graph, piece, inputs, outputs)
        for index, (piece, (inputs, outputs)) in enumerate(zip(pieces, ends, strict=True))
    }
    widened = [
        _widened(model, graph, part, tiling)
        for part, tiling in zip(parts.values(), tilings, strict=True)
    ]
    parts |= {f"{index}w": part for index, (part, _) in enumerate(widened) if part is not None}
    model.subgraphs = list(parts.values())
    model.signatureDefs = [
        _signature(name, index, part) for index, (name, part) in enumerate(parts.items())
    ]
    tilings = tuple(tiling for _, tiling in widened)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model)), tilings


def _widened(
    model: Any, graph: Any, part: Any, tiling: StageTiling
) -> tuple[Any | None, StageTiling]:
    """The wide form of a stage, if it has one, and its tiling with the columns of it."""
    outputs = [part.tensors[one.outputs[0]].shape for one in _convolutions(model, part.operators)]
    finest = max(int(shape[1]) for shape in outputs)
    channels = max(int(shape[3]) for shape in outputs if shape[1] == finest)
    # Packed pixels must fill a frame, whose sides are multiples of the coarsest level's pixels.
    coarsest = max(_shrink(graph, tensor) for one in graph.operators for tensor in one.outputs)
    columns = min(_power_of_two(WIDE_CHANNELS / channels), coarsest // tiling.stride_px)
    wide = widen(model, part, columns) if columns >= LEAST_COLUMNS else None
    if wide is None:
        return None, tiling
    return wide, msgspec.structs.replace(tiling, wide_columns=columns)


def _power_of_two(most: float) -> int:
    """The largest up to `most`, at least 1."""
    return int(2 ** math.floor(math.log2(max(1.0, most))))


def _pieces(model: Any, graph: Any) -> list[list[Any]]:
    """The operators of each stage: down to the poolings, the bottom, and from each enlargement up; [] where not so.

    The first pooling goes with the second stage: without it the first has one resolution, and a wide form.
    """
    codes = [operator_name(model, operator) for operator in graph.operators]
    poolings = [index for index, code in enumerate(codes) if code == "MAX_POOL_2D"]
    enlargements = [index for index, code in enumerate(codes) if code == "DEPTH_TO_SPACE"]
    if len(poolings) < CUT_LEVELS or len(poolings) != len(enlargements):
        return []
    made_by = {
        output: index
        for index, operator in enumerate(graph.operators)
        for output in operator.outputs
    }
    # The 1x1 convolution before an enlargement stays with it: its input is the smaller tensor.
    ups = [made_by[graph.operators[index].inputs[0]] for index in enlargements[-CUT_LEVELS:]]
    downs = [poolings[0], *(index + 1 for index in poolings[1:CUT_LEVELS])]
    cuts = [0, *downs, *ups, len(codes)]
    return [graph.operators[begin:end] for begin, end in itertools.pairwise(cuts)]


def _ends(model: Any, graph: Any, piece: list[Any]) -> tuple[list[int], list[int]]:
    """Tensors that a stage takes from others, and those that others take from it."""
    inside = {id(operator) for operator in piece}
    made = {output for operator in piece for output in operator.outputs}
    read = {tensor for operator in piece for tensor in operator.inputs if tensor >= 0}
    constant = {
        tensor for tensor in read if model.buffers[graph.tensors[tensor].buffer].data is not None
    }
    wanted = {tensor for op in graph.operators if id(op) not in inside for tensor in op.inputs}
    wanted |= set(graph.outputs)
    return sorted(read - made - constant), sorted(made & wanted)


def _tiling(model: Any, graph: Any, piece: list[Any], work: float) -> StageTiling:
    """Levels of a stage, an upper bound of how far its outputs look, and its share of the network's `work`.

    It looks no further than its convolutions would one after another, and one step of the coarsest level.
    """
    steps = {_shrink(graph, tensor) for operator in piece for tensor in operator.outputs}
    reach = 0
    for operator in _convolutions(model, piece):
        height = int(graph.tensors[operator.inputs[1]].shape[1])
        dilated = (height // 2) * operator.builtinOptions.dilationHFactor
        reach += _shrink(graph, operator.outputs[0]) * dilated
    return StageTiling(
        step_px=min(steps),
        stride_px=max(steps),
        margin_px=reach + max(steps) - min(steps),
        share=round(_work(model, graph, piece) / work, 4),
    )


def _convolutions(model: Any, operators: list[Any]) -> list[Any]:
    return [one for one in operators if operator_name(model, one) == "CONV_2D"]


def _work(model: Any, graph: Any, operators: list[Any]) -> float:
    """Multiply-accumulates."""
    shapes = [
        (graph.tensors[one.outputs[0]].shape, graph.tensors[one.inputs[1]].shape)
        for one in _convolutions(model, operators)
    ]
    return float(sum(math.prod(out[1:3]) * math.prod(kernel) for out, kernel in shapes))


def _shrink(graph: Any, tensor: int) -> int:
    """Pixels of the image per pixel of a tensor, along one axis."""
    return int(graph.tensors[graph.inputs[0]].shape[1] // graph.tensors[tensor].shape[1])


def _subgraph(graph: Any, piece: list[Any], inputs: list[int], outputs: list[int]) -> Any:
    """A graph of these operators with its own tensors."""
    part = copy.copy(graph)
    used = sorted({t for op in piece for t in (*op.inputs, *op.outputs) if t >= 0})
    place = {tensor: index for index, tensor in enumerate(used)} | {-1: -1}
    part.tensors = [graph.tensors[tensor] for tensor in used]
    part.operators = [copy.copy(operator) for operator in piece]
    for operator in part.operators:
        operator.inputs = [place[tensor] for tensor in operator.inputs]
        operator.outputs = [place[tensor] for tensor in operator.outputs]
    part.inputs = [place[tensor] for tensor in inputs]
    part.outputs = [place[tensor] for tensor in outputs]
    return part


def _signature(name: str, index: int, part: Any) -> Any:
    """The signature of a subgraph, whose tensors have the names they have in the graph."""
    from tensorflow.lite.python import schema_py_generated as schema

    def tensor_maps(tensors: list[int]) -> list[Any]:
        maps = []
        for tensor in tensors:
            entry = schema.TensorMapT()
            entry.name, entry.tensorIndex = part.tensors[tensor].name, tensor
            maps.append(entry)
        return maps

    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = name, index
    signature.inputs, signature.outputs = tensor_maps(part.inputs), tensor_maps(part.outputs)
    return signature
