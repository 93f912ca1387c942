"""Count the same images on this machine and in the emulated system of prove_arm64.py."""

import json
import os
import shutil
import subprocess
from pathlib import Path

from proof_root import Root
from proof_steps import Lines, ProofError

MODELS = ("fast", "c-resunet")
REAL_IMAGES = 6
REAL_IMAGES_SLOW = 1
LARGEST_SHIFT_PX = 1.0
IMAGES = "tmp/images"
REPOSITORY = Path(__file__).resolve().parent.parent
DRAW = """
import sys
from PIL import Image
from device.synthetic import make_frame, vary_settings
for seed in (1, 2):
    image = make_frame(seed, vary_settings(seed)).frame.image
    Image.fromarray(image).save(f"{sys.argv[1]}/synthetic-{seed}.png")
"""


def images(root: Root, fluocount: Path) -> list[Path]:
    """Synthetic frames drawn on this machine, the shipped sample, and real frames where there are."""
    folder = root.folder / IMAGES
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    python = fluocount.parent / "python"
    draw = [python, "-c", DRAW, folder]
    subprocess.run(draw, check=True, env=same_code(root), cwd=root.release_folder)
    shutil.copy(root.release_folder / "device/samples/neurons.jpg", folder)
    data = os.environ.get("FLUOCOUNT_DATA")
    found = sorted(Path(data).glob("fnc_*/**/images/*.png")) if data else []
    for path in found[:: max(1, len(found) // REAL_IMAGES)][:REAL_IMAGES]:
        shutil.copy(path, folder / f"real-{path.name}")
    return sorted(folder.iterdir())


def same_code(root: Root) -> dict[str, str]:
    """This machine's environment with the code that is installed there."""
    return os.environ | {"PYTHONPATH": str(root.release_folder), "PYTHONDONTWRITEBYTECODE": "1"}


def compare_counts(root: Root, fluocount: Path) -> Lines:
    """Count with every shipped model here and there.

    Raises:
        ProofError: some count differs, or a centroid lies more than LARGEST_SHIFT_PX away.
    """
    pictures = images(root, fluocount)
    different = 0
    for model in MODELS:
        chosen = pictures if model == MODELS[0] else slow_choice(pictures)
        for picture in chosen:
            ours = read_count(here(root, fluocount, model, picture))
            theirs = read_count(there(root, model, picture))
            if picture == chosen[0]:
                yield from head(ours, theirs)
            line, same = compare(ours, theirs)
            different += not same
            yield line
    if different:
        raise ProofError(f"{different} images differ")


def slow_choice(pictures: list[Path]) -> list[Path]:
    """Few images for the model that takes minutes a frame under emulation."""
    real = [path for path in pictures if path.name.startswith("real")]
    return [path for path in pictures if path not in real][:1] + real[:REAL_IMAGES_SLOW]


def here(root: Root, fluocount: Path, model: str, picture: Path) -> str:
    """What this machine's fluocount prints."""
    command = [fluocount, "count", "--json", "--model", model, picture]
    done = subprocess.run(command, capture_output=True, text=True, env=same_code(root), check=False)
    if done.returncode != 0:
        raise ProofError(f"this machine's fluocount failed:\n{done.stderr}")
    return done.stdout


def there(root: Root, model: str, picture: Path) -> str:
    """What the emulated system's prints, as the service's user."""
    command = ("fluocount", "count", "--json", "--model", model, f"/{IMAGES}/{picture.name}")
    return root.run(*root.as_service(*command))


def read_count(text: str) -> dict:
    """The one JSON object of `count --json`."""
    return dict(json.loads(text))


def head(ours: dict, theirs: dict) -> Lines:
    """Which model, and who counts.

    Raises:
        ProofError: the two do not hold the same model.
    """
    if ours["model"] != theirs["model"]:
        raise ProofError(f"not the same model: {ours['model']} here, {theirs['model']} there")
    model = ours["model"]
    yield f"model {model['name']} {model['version']}, sha256 {model['sha256'][:12]}"
    for result in (ours, theirs):
        yield "  " + ", ".join(f"{name} {text}" for name, text in result["versions"].items())
    yield f"  {'image':44} x86 arm64  largest shift (px)"


def compare(ours: dict, theirs: dict) -> tuple[str, bool]:
    """A line of the table, and whether both counted the same cells."""
    shift_px = largest_shift_px(ours["cells"], theirs["cells"])
    same = ours["count"] == theirs["count"] and shift_px <= LARGEST_SHIFT_PX
    numbers = f"{ours['count']:4} {theirs['count']:5}  {shift_px:.3f}"
    return f"  {ours['image']:44}{numbers}  {'same' if same else 'DIFFERENT'}", same


def largest_shift_px(ours: list[dict], theirs: list[dict]) -> float:
    """Largest distance from a cell's centroid to the nearest one of the other list."""
    if not ours or not theirs:
        return 0.0 if len(ours) == len(theirs) else float("inf")

    def nearest(cell: dict, others: list[dict]) -> float:
        return min(abs(complex(cell["x"] - o["x"], cell["y"] - o["y"])) for o in others)

    both_ways = [nearest(cell, theirs) for cell in ours] + [nearest(cell, ours) for cell in theirs]
    return max(both_ways)
