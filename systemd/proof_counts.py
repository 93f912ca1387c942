"""Count the same images on this machine and in the emulated system of prove_arm64.py."""

import json
import os
import shutil
import subprocess
from pathlib import Path

from proof_root import RELEASE_FOLDER, Root
from proof_steps import Lines, ProofError

REAL_IMAGES = 2
"""Of each part."""
LARGEST_SHIFT_PX = 1.0
IMAGES = "tmp/images"
REPOSITORY = Path(__file__).resolve().parent.parent
DRAW = """
import pathlib, sys
from PIL import Image
from device.synthetic import make_frame, vary_settings
folder = pathlib.Path(sys.argv[1])
for path in sorted(folder.iterdir())[::3]:
    with Image.open(path) as image:
        x, y = image.width // 2, image.height // 2
        image.crop((x - 160, y - 128, x + 160, y + 128)).save(folder / f"part-{path.stem}.png")
for seed in (1, 2):
    image = make_frame(seed, vary_settings(seed)).frame.image
    Image.fromarray(image).save(folder / f"synthetic-{seed}.png")
"""


def images(root: Root, fluocount: Path) -> list[Path]:
    """Synthetic frames drawn on this machine, the shipped sample, and real frames where there are."""
    folder = root.folder / IMAGES
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    shutil.copy(root.release_folder / "device/samples/neurons.jpg", folder)
    for path in real_images():
        shutil.copy(path, folder / f"real-{path.name}")
    draw = [fluocount.parent / "python", "-c", DRAW, folder]
    subprocess.run(draw, check=True, env=same_code(root), cwd=root.release_folder)
    return sorted(folder.iterdir())


def real_images() -> list[Path]:
    """Some frames of each part of the Fluorescent Neuronal Cells data."""
    data = os.environ.get("FLUOCOUNT_DATA")
    chosen: list[Path] = []
    for part in sorted(Path(data).glob("fnc_*")) if data else []:
        found = sorted(part.rglob("images/*.png"))
        chosen += found[len(found) // 4 :: max(1, len(found) // REAL_IMAGES)][:REAL_IMAGES]
    return chosen


def same_code(root: Root) -> dict[str, str]:
    """This machine's environment with the code that is installed there."""
    return os.environ | {"PYTHONPATH": str(root.release_folder), "PYTHONDONTWRITEBYTECODE": "1"}


def compare_counts(root: Root, fluocount: Path, *, newer: bool = False) -> Lines:
    """Count with every shipped model here and there; `newer`: with the unpacked, not the installed, release.

    Raises:
        ProofError: some count differs, or a centroid lies more than LARGEST_SHIFT_PX away.
    """
    pictures = images(root, fluocount)
    parts = [path for path in pictures if path.name.startswith("part")]
    whole = [path for path in pictures if path not in parts]
    code = {"PYTHONPATH": f"/{RELEASE_FOLDER}", "PYTHONDONTWRITEBYTECODE": "1"} if newer else {}
    different = 0
    # The paper's network takes a quarter of an hour a frame under emulation: parts of frames.
    for model, chosen in (("fast", whole), ("c-resunet", parts)):
        for picture in chosen:
            ours = read_count(here(root, fluocount, model, picture))
            theirs = read_count(there(root, model, picture, code))
            if picture == chosen[0]:
                yield from head(ours, theirs)
            line, same = compare(ours, theirs)
            different += not same
            yield line
    if different:
        raise ProofError(f"{different} images differ")


def here(root: Root, fluocount: Path, model: str, picture: Path) -> str:
    """What this machine's fluocount prints."""
    command = [fluocount, "count", "--json", "--model", model, picture]
    done = subprocess.run(command, capture_output=True, text=True, env=same_code(root), check=False)
    if done.returncode != 0:
        raise ProofError(f"this machine's fluocount failed:\n{done.stderr}")
    return done.stdout


def there(root: Root, model: str, picture: Path, code: dict[str, str]) -> str:
    """What the emulated system's prints, as the service's user."""
    command = ("fluocount", "count", "--json", "--model", model, f"/{IMAGES}/{picture.name}")
    return root.run(*root.as_service(*command, **code))


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
