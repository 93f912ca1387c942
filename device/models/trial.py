"""Counts one frame with a model file, in a process of its own: a damaged network can crash the interpreter.

python -m device.models.trial FOLDER/NAME.tflite    the model's ZIP comes in, the counts go out as JSON
"""

import resource
import subprocess
import sys
from pathlib import Path

import msgspec

from device.errors import InputError
from device.models.package import Package, pack_model

LIMIT_S = 120
"""A Pi 4 counts a full frame in some seconds; the libraries take as long again."""
MEMORY_BYTES = 3_000_000_000
TOLERANCE = 0.05
"""Part of the cells by which the same network may count differently: other processors round in other places."""
SYNTHETIC_TOLERANCE = 0.2
SYNTHETIC_SEED = 7


class Counted(msgspec.Struct, frozen=True):
    """What the model counted, what it should have, and in which frame: `own` or `synthetic`."""

    count: int
    expected: int
    frame: str

    @property
    def passes(self) -> bool:
        """Near enough to be the same network, or a network that sees cells."""
        part = TOLERANCE if self.frame == "own" else SYNTHETIC_TOLERANCE
        return abs(self.count - self.expected) <= max(1, part * self.expected)


def try_model(path: Path, package: Package) -> Counted:
    """Count with a model on this machine, in another process.

    Args:
        path: of the .tflite with its card beside it.
        package: the same model, with its proof if it has one.

    Raises:
        InputError: the network cannot be run, or does not count as it should.
    """
    command = [sys.executable, "-m", "device.models.trial", str(path.resolve())]
    root = Path(__file__).parents[2]
    try:
        done = subprocess.run(
            command, input=pack_model(package), capture_output=True, timeout=LIMIT_S, cwd=root
        )
    except subprocess.TimeoutExpired:
        raise InputError(
            f"{path.stem} takes longer than {LIMIT_S} s for one frame; it was not installed."
        ) from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        why = said[-1][:300] if said else f"it ended with status {done.returncode}"
        raise InputError(
            f"{path.stem} cannot be run here and was not installed ({why}); make it again with this version of "
            "fluocount."
        )
    counted = msgspec.json.decode(done.stdout, type=Counted)
    if not counted.passes:
        raise InputError(_in_words(path.stem, counted))
    return counted


def _in_words(name: str, counted: Counted) -> str:
    if counted.frame == "own":
        return (
            f"{name} counts {counted.count} cells here in the frame in which it counted {counted.expected} where it "
            "was made; it was not installed. Make it again with this version of fluocount."
        )
    return (
        f"{name} finds {counted.count} of {counted.expected} cells in a synthetic frame and was not installed; a "
        "network for other cells must bring a frame of its own: give the .zip that fluocount-train adapt wrote."
    )


def count_once(path: Path, package: Package) -> Counted:
    """Count the proof's frame, or a synthetic one."""
    from device.counting.pipeline import count_frame
    from device.counting.records import CountSettings
    from device.models.interpreter import load_segmenter
    from device.synthetic import SyntheticSettings, make_frame

    segmenter = load_segmenter(path, threads=2)
    if package.proof is not None and package.frame is not None:
        settings = CountSettings(cell_diameter_px=package.proof.cell_diameter_px)
        result = count_frame(package.frame, segmenter, settings).result
        return Counted(result.count, package.proof.count, "own")
    truth = make_frame(SYNTHETIC_SEED)
    settings = CountSettings(cell_diameter_px=SyntheticSettings().cell_diameter_px)
    result = count_frame(truth.frame, segmenter, settings).result
    return Counted(result.count, truth.count, "synthetic")


def _main() -> None:
    from device.models.package import unpack_model

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    package = unpack_model(sys.stdin.buffer.read(), "the model")
    sys.stdout.buffer.write(msgspec.json.encode(count_once(Path(sys.argv[1]), package)))


if __name__ == "__main__":
    try:
        _main()
    except InputError as refused:
        sys.exit(str(refused))
