"""Runs a network tile by tile: as one graph, or stage by stage if it was cut into stages (convert.stages).

A stage runs over the whole image in its own tiles, with its own small margin, before the next stage begins. It computes
bit for bit the same as the uncut network, because only the part of a tile inside its margin is kept.

On a processor that multiplies int8 faster than it handles pixels, stages run in their wide form (convert.wide), which
computes the same.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from device.counting.card import StageTiling
from device.models.staging import plan_stage


class WholeNetwork:
    """One graph; only a change of shape costs an allocation."""

    def __init__(self, interpreter: Any) -> None:
        self._interpreter = interpreter
        self._input = interpreter.get_input_details()[0]
        self.output = interpreter.get_output_details()[0]
        self._shape: tuple[int, int] | None = None

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """(h, w, 3) int8 to (h, w) int8."""
        if image.shape[:2] != self._shape:
            self._interpreter.resize_tensor_input(self._input["index"], (1, *image.shape))
            self._interpreter.allocate_tensors()
            self._shape = image.shape[0], image.shape[1]
        self._interpreter.set_tensor(self._input["index"], image[None])
        self._interpreter.invoke()
        result: np.ndarray = self._interpreter.get_tensor(self.output["index"])[0, ..., 0]
        return result


@dataclass(frozen=True, slots=True)
class _Tensor:
    """A tensor between stages: image pixels per tensor pixel along one axis, and channels."""

    step: int
    channels: int

    def part(self, rows: slice, columns: slice) -> tuple[slice, slice]:
        """Where a part of the image lies in it."""
        return (
            slice(rows.start // self.step, rows.stop // self.step),
            slice(columns.start // self.step, columns.stop // self.step),
        )


@dataclass(frozen=True, slots=True)
class _Stage:
    run: Any
    reads: dict[str, _Tensor]
    writes: dict[str, _Tensor]
    tiling: StageTiling
    wide_columns: int

    def __call__(self, tensors: dict[str, np.ndarray], shape: tuple[int, int]) -> None:
        """Compute what it writes for an image of (height, width), from and into (h, w, c) int8 tensors."""
        for name, tensor in self.writes.items():
            extent = shape[0] // tensor.step, shape[1] // tensor.step, tensor.channels
            tensors[name] = np.empty(extent, dtype=np.int8)
        for tile in plan_stage(shape, self.tiling, self.wide_columns).tiles:
            given = {
                name: _with_columns(tensors[name][tensor.part(*tile.read)], self.wide_columns)[None]
                for name, tensor in self.reads.items()
            }
            for name, result in self.run(**given).items():
                tensor = self.writes[name]
                plain = result[0].reshape(result.shape[1], -1, tensor.channels)
                tensors[name][tensor.part(*tile.keep)] = plain[tensor.part(*tile.crop)]


def _with_columns(tensor: np.ndarray, columns: int) -> np.ndarray:
    """(h, w, c) as (h, w / columns, columns * c), the same in memory."""
    height, width, channels = tensor.shape
    return tensor.reshape(height, width // columns, columns * channels)


class StagedNetwork:
    """One signature per stage, "0", "1", ..., and "0w", ... for the wide forms.

    Args:
        interpreter: of the cut network.
        tilings: of the stages, from the card.
        wide: run the wide form of the stages that have one.
    """

    def __init__(
        self, interpreter: Any, tilings: tuple[StageTiling, ...], wide: bool = False
    ) -> None:
        self._interpreter = interpreter
        interpreter.allocate_tensors()  # XNNPACK prepares all stages at the first allocation
        plain = [interpreter.get_signature_runner(str(index)) for index in range(len(tilings))]
        (image,) = plain[0].get_input_details().values()
        (self.output,) = plain[-1].get_output_details().values()
        self._image, self._result = image["name"], self.output["name"]
        height = int(image["shape"][1])
        self._stages = []
        for index, (runner, tiling) in enumerate(zip(plain, tilings, strict=True)):
            columns = tiling.wide_columns if wide else 1
            runs = runner if columns == 1 else interpreter.get_signature_runner(f"{index}w")
            reads, writes = (
                _tensors(details, height)
                for details in (runner.get_input_details(), runner.get_output_details())
            )
            self._stages.append(_Stage(runs, reads, writes, tiling, columns))

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """(h, w, 3) int8 to (h, w) int8; h and w are multiples of the total stride."""
        tensors = {self._image: image}
        for index, stage in enumerate(self._stages):
            stage(tensors, (image.shape[0], image.shape[1]))
            wanted = {name for later in self._stages[index + 1 :] for name in later.reads}
            tensors = {name: t for name, t in tensors.items() if name in wanted | {self._result}}
        return tensors[self._result][..., 0]


def _tensors(details: dict[str, Any], image_height: int) -> dict[str, _Tensor]:
    return {
        name: _Tensor(step=image_height // int(one["shape"][1]), channels=int(one["shape"][3]))
        for name, one in details.items()
    }
