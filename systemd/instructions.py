#!/usr/bin/env python3
"""Count the instructions that a Raspberry Pi 4's processor executes for one tile of each model.

    sudo systemd/instructions.py /var/tmp/proof/root-bookworm

Runs in the emulated system that prove_arm64.py leaves. Needs root and, on Debian 12, qemu-user (the one
that is not static takes plugins) and gcc. Instructions are counted, not cycles: they compare models and
versions of the interpreter, and say little about seconds.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from proof_root import Root

MODELS = ("fast", "c-resunet")
FEW, MORE = 1, 2
EMULATOR = "qemu-aarch64"
TOOLS = "tmp/qemu"
PYTHON = "/opt/fluocount/venv/bin/python"
TILES = """
import sys, numpy
from device.counting.tiles import plan_for
from device.counting.records import CountSettings
from device.counting.settings import resolve
from device.models.card import find_model
from device.models.interpreter import load_segmenter
segmenter = load_segmenter(find_model(sys.argv[1]), 1)
scale = resolve(CountSettings(), segmenter.card).scale
plan = plan_for(round(1200 * scale), round(1600 * scale), segmenter.card)
tile = numpy.random.default_rng(0).integers(0, 256, (*plan.tile_shape, 3), numpy.uint8)
for _ in range(int(sys.argv[2])):
    segmenter(tile)
print(*plan.tile_shape, len(plan.tiles))
"""


def bring_emulator(root: Root) -> None:
    """The emulator, its libraries and the plugin, into the emulated system."""
    folder = root.folder / TOOLS
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    emulator = shutil.which(EMULATOR)
    if emulator is None or shutil.which("gcc") is None:
        sys.exit("instructions.py: not installed: qemu-user or gcc (apt install qemu-user gcc)")
    needed = subprocess.run(["ldd", emulator], check=True, capture_output=True, text=True).stdout
    for path in [emulator, *re.findall(r"(/\S+) \(0x", needed)]:
        shutil.copy(path, folder)
    source = Path(__file__).with_suffix(".c")
    plugin = folder / "instructions.so"
    subprocess.run(["gcc", "-O2", "-Wall", "-shared", "-fPIC", "-o", plugin, source], check=True)


def count_instructions(root: Root, model: str, tiles: int) -> tuple[int, list[int]]:
    """Instructions of a program that computes so many tiles; height, width and number of a frame's tiles."""
    tools = f"/{TOOLS}"
    loader = [f"{tools}/ld-linux-x86-64.so.2", "--library-path", tools, f"{tools}/{EMULATOR}"]
    plugin = ["-cpu", "cortex-a72", "-plugin", f"{tools}/instructions.so"]
    program = [PYTHON, "-c", TILES, model, str(tiles)]
    done = subprocess.run(
        root.command(*loader, *plugin, *program),
        env=root.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r"^instructions: (\d+)$", done.stderr, re.M)
    if done.returncode != 0 or found is None:
        sys.exit(f"{done.stdout}{done.stderr}\nexit status {done.returncode}")
    return int(found[1]), [int(word) for word in done.stdout.split()]


def main() -> None:
    """Print a table."""
    if len(sys.argv) != 2:
        sys.exit("usage: instructions.py ROOT")
    root = Root(Path(sys.argv[1]).resolve(), "")
    bring_emulator(root)
    print("| model, 1600x1200 | tile | tiles | 10^9 instructions per tile | per frame |")
    print("|---|---|---|---|---|")
    for model in MODELS:
        few, _ = count_instructions(root, model, FEW)
        more, (height, width, tiles) = count_instructions(root, model, MORE)
        tile = (more - few) / (MORE - FEW) / 1e9
        size = f"{width}x{height}"
        print(f"| {model} | {size} | {tiles} | {tile:.2f} | {tile * tiles:.1f} |", flush=True)


if __name__ == "__main__":
    main()
