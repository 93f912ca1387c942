"""Another engine for the same weights: how much processor time a tile costs in ONNX Runtime and in LiteRT.

Keras writes ONNX with PyTorch as its backend, so this needs packages that nothing else here needs:

    pip install onnx onnxruntime onnxscript torch
    KERAS_BACKEND=torch fluocount-convert engines fast
"""

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from device.errors import ModelError
from device.models.card import find_model
from device.models.interpreter import load_segmenter
from trainer.fitting.workflow import WEIGHTS_DIR

SIDE_PX = 512
_RUNS = 5


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """Processor seconds for one tile of SIDE_PX x SIDE_PX on one core, the least of some runs."""

    engine: str
    seconds: float


def compare_engines(model: str) -> list[Cost]:
    """Measure a shipped model; LiteRT, which counts on the Pi, comes first.

    Processor time, not time on the clock: it hardly depends on what else the computer does.

    Raises:
        ModelError: there is no such model, or the packages are missing.
    """
    tile = np.random.default_rng(1).integers(0, 256, (SIDE_PX, SIDE_PX, 3)).astype(np.uint8)
    batch = tile[None].astype(np.float32) / 255
    litert = load_segmenter(find_model(model), 1)
    costs = [Cost(engine="LiteRT, int8", seconds=_measure(lambda: litert(tile)))]
    with tempfile.TemporaryDirectory() as folder:
        exact, rounded = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        _export(model, exact, batch)
        _quantise(exact, rounded, batch)
        for name, path in (("float", exact), ("int8", rounded)):
            session = _open(path)
            feed = {session.get_inputs()[0].name: batch}
            seconds = _measure(partial(session.run, None, feed))
            costs.append(Cost(engine=f"ONNX Runtime, {name}", seconds=seconds))
    return costs


def _measure(run: Callable[[], Any]) -> float:
    run()  # memory is taken and kernels are chosen in the first
    spent = []
    for _ in range(_RUNS):
        begin_s = time.process_time()
        run()
        spent.append(time.process_time() - begin_s)
    return min(spent)


def _export(model: str, path: Path, batch: np.ndarray) -> None:
    import keras

    try:
        network = keras.saving.load_model(WEIGHTS_DIR / f"{model}.keras", compile=False)
        network(batch)
        signature = [keras.InputSpec(shape=batch.shape, dtype="float32")]
        network.export(path, format="onnx", verbose=False, input_signature=signature)
    except ImportError as error:
        raise ModelError(
            f"ONNX needs more packages ({error}): pip install onnx onnxruntime onnxscript torch, and set "
            "KERAS_BACKEND=torch."
        ) from None


def _quantise(exact: Path, rounded: Path, batch: np.ndarray) -> None:
    """For the time only: one random tile is no calibration for counting."""
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    entry = _open(exact).get_inputs()[0].name

    class OneTile(CalibrationDataReader):
        """Gives the tile once."""

        def __init__(self) -> None:
            self._left = iter([{entry: batch}])

        def get_next(self) -> dict[str, np.ndarray] | None:
            """The tile, then nothing."""
            return next(self._left, None)

    quantize_static(
        exact,
        rounded,
        OneTile(),
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )


def _open(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options)
