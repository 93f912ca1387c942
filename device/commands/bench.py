"""`fluocount bench`: whole frames, from file to results, stage by stage, compared with the usual way."""

import importlib.util
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from device.errors import InputError

if TYPE_CHECKING:
    from device.bench.measure import Measured

_PATH = click.Path(path_type=Path)


@click.command("bench")
@click.argument("paths", nargs=-1, type=_PATH, metavar="[PATH]...")
@click.option(
    "--model",
    "models",
    multiple=True,
    help="Name of a model or path of a .tflite (default: all shipped models).",
)
@click.option(
    "--reference", is_flag=True, help="Also measure Keras and scikit-image on the whole frame."
)
@click.option(
    "--reference-weights",
    type=_PATH,
    help="Float weights (default: trainer/weights/c-resunet.keras).",
)
@click.option(
    "--runs", type=click.IntRange(1), default=5, show_default=True, help="Runs per frame."
)
@click.option(
    "--cells", type=click.IntRange(0), multiple=True, help="Number of cells in a synthetic frame."
)
@click.option("--width", type=click.IntRange(256, 8000), default=1600, show_default=True, metavar="PX",
              help="Width of synthetic frames (4:3).")  # fmt: skip
@click.option("--folder", "copies", type=click.IntRange(4), metavar="N",
              help="Measure a folder of N frames instead, one by one and in parallel.")  # fmt: skip
@click.option(
    "--threads", type=click.IntRange(1), help="Threads of the interpreter (default: all cores)."
)
@click.option("--picture", type=_PATH, default=Path("out/bench.png"), show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON at the end.")
def command(**asked: Any) -> None:
    """Measure speed and memory on PATHs (images, folders), else on synthetic frames of 1600x1200."""
    request = _Request(**asked)
    if request.copies:
        _bench_folder(request)
    else:
        _bench_frames(request)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """What the options say; see their help."""

    paths: tuple[Path, ...]
    models: tuple[str, ...]
    reference: bool
    reference_weights: Path | None
    runs: int
    cells: tuple[int, ...]
    width: int
    copies: int | None
    threads: int | None
    picture: Path
    as_json: bool

    @property
    def cores(self) -> int:
        """Threads of the interpreter."""
        return self.threads or len(os.sched_getaffinity(0))


def _bench_frames(request: _Request) -> None:
    """Frame by frame, stage by stage."""
    from device.bench.report import as_table, draw, summarise

    workers = _workers(request.models, request.cores)
    if request.reference:
        workers |= _reference(request.reference_weights)
    with tempfile.TemporaryDirectory(prefix="fluocount-frames-") as folder:
        frames = _frames(request, Path(folder))
        measured = _measure(workers, frames, request.runs)
        starts = _starts(workers, frames[0])
    click.echo(
        f"{len(frames)} frames, {request.runs} runs each, medians; memory of whole processes\n"
    )
    click.echo(as_table(measured))
    click.echo(f"\nFrom the start of `fluocount count` to its first tile: {starts}")
    drawn = draw(measured, request.picture)
    click.echo(f"\n{request.picture}" if drawn else "\nNo picture: matplotlib is not installed.")
    if request.as_json:
        click.echo(msgspec.json.encode(summarise(measured)))


def _frames(request: _Request, folder: Path) -> list[Path]:
    from device.bench.frames import CELLS, given_frames, synthetic_frames

    if request.paths:
        return given_frames(request.paths)
    return synthetic_frames(folder, request.cells or CELLS, request.width)


def _measure(workers: dict[str, list[str]], frames: list[Path], runs: int) -> "list[Measured]":
    from device.bench.measure import measure

    with click.progressbar(length=1000, label="Measuring", file=sys.stderr) as bar:
        return measure(
            workers, frames, runs, lambda done, total: bar.update(1000 * done // total - bar.pos)
        )


def _starts(workers: dict[str, list[str]], frame: Path) -> str:
    """Seconds by model, as words."""
    from device.bench.report import REFERENCE
    from device.bench.startup import seconds_to_first_tile

    models = {label: Path(words[2]) for label, words in workers.items() if label != REFERENCE}
    spent = {label: seconds_to_first_tile(path, frame) for label, path in models.items()}
    return ", ".join(f"{seconds:.2f} s ({label})" for label, seconds in spent.items())


def _bench_folder(request: _Request) -> None:
    """Count copies of the synthetic frames one by one and in parallel, for each model."""
    from device.bench.folder import as_table, measure_folder
    from device.bench.frames import CELLS, synthetic_frames
    from device.models.card import DEFAULT_MODEL, find_model

    with tempfile.TemporaryDirectory(prefix="fluocount-folder-") as temporary:
        folder = Path(temporary) / "frames"
        folder.mkdir()
        frames = synthetic_frames(folder, CELLS)
        for number in range(len(frames), request.copies or 0):
            os.link(frames[number % len(frames)], folder / f"copy-{number}.png")
        for name in request.models or (DEFAULT_MODEL,):
            out = Path(temporary) / name
            timings = measure_folder(find_model(name), folder, out, request.cores)
            click.echo(f"{name}, a folder of {request.copies} frames\n\n{as_table(*timings)}\n")


def _workers(models: tuple[str, ...], threads: int) -> dict[str, list[str]]:
    """One process per model."""
    from device.models.card import available_models, find_model, load_card

    found = [find_model(name) for name in models or available_models()]
    if not found:
        raise InputError("This installation has no models; name one with --model.")
    return {
        load_card(path).name: ["-m", "device.bench.worker", str(path), str(threads)]
        for path in found
    }


def _reference(weights: Path | None) -> dict[str, list[str]]:
    """The process of Keras and scikit-image.

    Raises:
        InputError: the packages or the weights are missing.
    """
    from device.bench.report import REFERENCE

    if any(importlib.util.find_spec(name) is None for name in ("trainer", "keras", "tensorflow")):
        raise InputError(
            "--reference needs Keras and TensorFlow on a computer: pip install 'fluocount[trainer]'."
        )
    path = weights or Path(__file__).parents[2] / "trainer" / "weights" / "c-resunet.keras"
    if not path.is_file():
        raise InputError(
            f"--reference needs the float weights {path}, which are in the source tree only: "
            "run it from a clone, or name them with --reference-weights."
        )
    return {REFERENCE: ["-m", "trainer.experiments.reference", str(path)]}
