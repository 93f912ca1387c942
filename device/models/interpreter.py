"""The TFLite interpreter behind the Segmenter protocol."""

import ctypes
import importlib
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from device.counting.card import ModelCard
from device.counting.records import ProbabilityMap
from device.errors import ModelError
from device.machine.processor import multiplies_int8_fast
from device.models.card import load_card
from device.models.stages import StagedNetwork, WholeNetwork

_INTERPRETERS = ("ai_edge_litert.interpreter", "tflite_runtime.interpreter")


def interpreter_class() -> Any:
    """The Interpreter of LiteRT, or of tflite-runtime if only that is installed.

    Raises:
        ModelError: neither is installed.
    """
    for module in _INTERPRETERS:
        try:
            return importlib.import_module(module).Interpreter
        except ModuleNotFoundError:
            continue
    raise ModelError(
        "No TFLite interpreter is installed; expected ai-edge-litert or tflite-runtime: "
        "pip install 'fluocount[device]'."
    )


class LiteRtSegmenter:
    """A full-integer .tflite model; one instance belongs to one thread."""

    def __init__(self, model_path: Path, card: ModelCard, threads: int) -> None:
        self.card = card
        self._interpreter = partial(
            interpreter_class(), model_path=str(model_path), num_threads=threads
        )
        self._encode = _input_table(card)
        self._network: WholeNetwork | StagedNetwork | None = self._open()
        self.output = self._network.output

    def __call__(self, tile: np.ndarray) -> ProbabilityMap:
        """Segment one (h, w, 3) uint8 tile to (h, w) uint8 codes."""
        if self._network is None:
            self._network = self._open()
        output = self._network(self._encode(tile))
        codes: ProbabilityMap = output.view(np.uint8) ^ np.uint8(0x80)
        return codes

    def release(self) -> None:
        """Release activations and indirection buffers."""
        self._network = None
        # glibc keeps freed blocks below 32 MB for itself; elsewhere there is nothing to trim.
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)

    def _open(self) -> WholeNetwork | StagedNetwork:
        stages = self.card.tiling.stages
        interpreter = self._interpreter()
        if not stages:
            return WholeNetwork(interpreter)
        return StagedNetwork(interpreter, stages, wide=multiplies_int8_fast())


def _encode_shifted(tile: np.ndarray) -> np.ndarray:
    """Scale 1/255 and zero point -128 mean: the code is the sample minus 128, a flip of the top bit."""
    return (tile ^ np.uint8(0x80)).view(np.int8)


def _encode_table(table: np.ndarray, tile: np.ndarray) -> np.ndarray:
    encoded: np.ndarray = table[tile]
    return encoded


def _input_table(card: ModelCard) -> Any:
    """Convert uint8 samples to int8 codes: flip one bit, or use a table for other quantisations."""
    ends = card.normalisation
    codes = np.rint(np.arange(256) / 255 / ends.input_scale) + ends.input_zero_point
    table = np.clip(codes, -128, 127).astype(np.int8)
    if np.array_equal(table, np.arange(-128, 128)):
        return _encode_shifted
    return partial(_encode_table, table)


def load_segmenter(model_path: Path, threads: int) -> LiteRtSegmenter:
    """Open a model and its card.

    Args:
        model_path: the .tflite; its card lies beside it.
        threads: of the interpreter.

    Raises:
        ModelError: model or card missing, damaged or not int8, or no interpreter installed.
    """
    card = load_card(model_path)
    try:
        segmenter = LiteRtSegmenter(model_path, card, threads)
    except (ValueError, RuntimeError) as error:
        raise ModelError(
            f"The model {model_path} cannot be opened ({error}); restore it from the release."
        ) from None
    _check_quantisation(segmenter, model_path)
    return segmenter


def _check_quantisation(segmenter: LiteRtSegmenter, model_path: Path) -> None:
    ends = segmenter.card.normalisation
    output = segmenter.output
    scale, zero_point = output["quantization"]
    expected = (1 / 256, -128)
    found = (round(float(scale) * 256, 4) / 256, zero_point)
    if output["dtype"] != np.int8 or found != expected:
        raise ModelError(
            f"The model {model_path} must return int8 probabilities of scale 1/256 and zero point -128, "
            f"not {output['dtype'].__name__} of {scale:g} and {zero_point}; convert it again with fluocount-convert."
        )
    if (ends.output_scale, ends.output_zero_point) != expected:
        raise ModelError(
            f"The card of {model_path} names another output scale than the model has; convert the model again."
        )
