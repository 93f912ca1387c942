"""Files that people who count cells have trouble with: `python -m tests.field [FOLDER]` prints what became of each.

FOLDER holds one folder a case with a `case.json` (name, command, expected outcome); default: `field` beside the real
images (see conftest). Nothing of it is part of the project.
"""

import argparse
import csv
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tabulate import tabulate

from device.counting.confidence.promise import holds, interval_words

ROOT = Path(__file__).parents[1]
FOLDER = Path(os.environ.get("FLUOCOUNT_FIELD", ROOT.parent / "shared" / "field"))
REFUSED = "refused"


@dataclass
class Outcome:
    """What one command did.

    Attributes:
        folder: where it ran.
        status: exit status.
        out, err: what it printed.
        results: JSON of every counted image, by name.
    """

    folder: Path
    status: int
    out: str
    err: str
    results: dict[str, dict] = field(default_factory=dict)

    def count(self, name: str) -> int:
        return self.results[name]["count"]

    def flags(self, name: str) -> list[str]:
        return [flag["code"] for flag in self.results[name]["flags"]]

    def refusal(self, name: str) -> str:
        """The sentence about an image that was not counted."""
        lines = [line for line in self.err.splitlines() if line.startswith("fluocount:")]
        return next((line for line in lines if name in line), "")

    def table(self, name: str) -> list[dict[str, str]]:
        path = self.folder / "out" / name
        if not path.exists():
            return []
        with path.open(newline="", encoding="utf-8-sig") as stream:
            return list(csv.DictReader(stream))


Check = Callable[[Outcome], Iterator[str]]
"""Yields what is wrong with an outcome; nothing where all is well."""


def same_as(reference: str, *, flag: str = "", refused: bool = False, only: str = "") -> Check:
    """All other files count as the reference does, within one; or carry that flag, or are refused with a sentence."""

    def check(outcome: Outcome) -> Iterator[str]:
        names = [path.name for path in images(outcome.folder) if re.search(only, path.name)]
        for name in names:
            if name == reference or name.startswith("ref_"):
                continue
            if name not in outcome.results:
                if not (refused and outcome.refusal(name)):
                    yield f"{name} was not counted: {outcome.refusal(name)}"
            elif abs(outcome.count(name) - outcome.count(reference)) > 1 and not (
                flag and flag in outcome.flags(name)
            ):
                yield f"{name}: {outcome.count(name)}, {reference}: {outcome.count(reference)}"

    return check


def all_refused(*words: str) -> Check:
    """Every file is refused in one sentence that holds one of the words."""

    def check(outcome: Outcome) -> Iterator[str]:
        for path in images(outcome.folder):
            said = outcome.refusal(path.name)
            if path.name in outcome.results or not said:
                yield f"{path.name} was counted"
            elif words and not any(word in said for word in words):
                yield f"{path.name}: {said}"

    return check


def channels(outcome: Outcome) -> Iterator[str]:
    """Refused, or the channel that was taken is said."""
    for name, result in outcome.results.items():
        if not name.startswith("ref_") and not result["taken"]["channel"]:
            yield f"{name} was counted without saying which channel"
    yield from same_as("ref_grey.png", refused=True)(outcome)


def pixel_sizes(outcome: Outcome) -> Iterator[str]:
    """Half the density where a pixel is twice as high, or no density and a flag."""
    rows = {row["image"]: row for row in outcome.table("counts.csv")}
    square = float(rows["x05_y05.ome.tif"]["cells_per_mm2"])
    for name in ("x05_y10.ome.tif", "imagej_2_1.tif"):
        density = rows[name]["cells_per_mm2"]
        if density and abs(float(density) / square - 0.5) > 0.02:
            yield f"{name}: {density} cells per mm2, square pixels: {square}"
        if not density and not rows[name]["flags"]:
            yield f"{name}: no density and no flag"


def no_pixel_size(outcome: Outcome) -> Iterator[str]:
    for name, result in outcome.results.items():
        if result["pixel_size_um"] is not None:
            yield f"{name}: {result['pixel_size_um']} um"


def damaged_name(outcome: Outcome) -> Iterator[str]:
    if outcome.status != 1:
        yield f"exit status {outcome.status}"
    if len(outcome.table("errors.csv")) != 1 or len(outcome.table("counts.csv")) != 1:
        yield "not one line in each table"
    if "2 images: 1 counted, 1 not counted" not in outcome.err:
        yield "no summary"


def foreign_files(outcome: Outcome) -> Iterator[str]:
    counted = {row["image"] for row in outcome.table("counts.csv")}
    if counted != {"a.png", "photo.jfif", "photo2.jpe"}:
        yield f"counted {sorted(counted)}"
    failed = {row["image"] for row in outcome.table("errors.csv")}
    if failed != {"slide.czi", "slide.nd2"} or outcome.status not in (0, 1):
        yield f"errors.csv names {sorted(failed)}"
    if not all(outcome.refusal(name) for name in ("slide.czi", "slide.nd2")):
        yield "not named in the summary"


def orientation(outcome: Outcome) -> Iterator[str]:
    from PIL import Image

    rows = {row["image"]: row for row in outcome.table("counts.csv")}
    if abs(int(rows["plain.jpg"]["count"]) - int(rows["portrait.jpg"]["count"])) > 1:
        yield "counts differ"
    with Image.open(outcome.folder / "out" / "portrait.jpg.overlay.jpg") as picture:
        size = picture.size
    if (
        size[0] >= size[1]
        or (int(rows["portrait.jpg"]["width_px"]), int(rows["portrait.jpg"]["height_px"])) != size
    ):
        yield f"the overlay is {size}"


def sparse(outcome: Outcome) -> Iterator[str]:
    if "sparse.tif" not in outcome.results and not outcome.refusal("sparse.tif"):
        yield "neither counted nor refused"


def binned(outcome: Outcome) -> Iterator[str]:
    for name in ("bin2.png", "bin4.png"):
        interval = outcome.results[name]["interval"]
        flags = {"cell_size", "scale", "size_unknown"} & set(outcome.flags(name))
        if not flags and not holds(interval, 35):
            yield f"{name}: {outcome.count(name)} ({interval_words(interval)}), no flag about the scale"


def odd_names(outcome: Outcome) -> Iterator[str]:
    rows = outcome.table("counts.csv")
    expected = len([path for path in images(outcome.folder) if not path.name.startswith(".")])
    if len(rows) != expected or outcome.table("errors.csv"):
        yield f"{len(rows)} lines for {expected} images"
    for row in rows:
        if row["image"].startswith(tuple("=+-@＝＋－＠")) or not row["image"].isprintable():
            yield f"{row['image']!r} stands in the table"
    if any(ord(letter) < 32 and letter not in "\n\r" for letter in outcome.out + outcome.err):
        yield "control characters on the terminal"


def two_folders(outcome: Outcome) -> Iterator[str]:
    names = sorted(row["image"] for row in outcome.table("counts.csv"))
    if names != ["mouse1/Image_001.png", "mouse2/Image_001.png"]:
        yield f"the table has {names}"


def growing(outcome: Outcome) -> Iterator[str]:
    counted, failed = outcome.table("counts.csv"), outcome.table("errors.csv")
    if [row["image"] for row in counted if "timelapse" in row["image"]]:
        yield "counts.csv keeps a line of a file that is a stack"
    if len([row for row in failed if "timelapse" in row["image"]]) != 1:
        yield f"errors.csv has {len(failed)} lines"


def windows_name(outcome: Outcome) -> Iterator[str]:
    if outcome.out.strip() != "a.png":
        yield f"the image is called {outcome.out.strip()!r}"


CHECKS: dict[str, Check] = {
    "hot-pixel-16bit": same_as("ref_rgb.png"),
    "significantbits-16": same_as("ref_rgb.png", flag="dim"),
    "scanr-offset-32768": same_as("ref_grey.png", refused=True),
    "miniswhite-12bit": same_as("ref_grey.png"),
    "grey-2-and-4-bit-tiff": same_as("grey4_as_8bit.tif"),
    "cmyk-tiff": same_as("ref_rgb.png", refused=True),
    "palette-8bit-colormap": same_as("ref_grey.png"),
    "appended-pages": all_refused("planes"),
    "thumbnail-first": same_as("full_first.tif"),
    "ome-several-images": all_refused("planes", "scenes"),
    "three-channels-as-rgb": channels,
    "alpha-hides-part": same_as("cropped.png"),
    "ome-one-channel-per-file": same_as("ref_grey.png"),
    "ome-renamed": same_as("ref_grey.png"),
    "ome-xml-broken": same_as("ref_grey.png"),
    "leftover-stack-header": same_as("ref_grey.png"),
    "non-square-pixels": pixel_sizes,
    "print-resolution": no_pixel_size,
    "burnt-in-scale-bar": same_as("ref_rgb.png", flag="annotations"),
    "latin1-name-damaged": damaged_name,
    "foreign-files-in-batch": foreign_files,
    "exif-orientation": orientation,
    "windows-path-upload": windows_name,
    "watch-growing-stack": growing,
    "sparse-tiles": sparse,
    "binned-frames": binned,
    "lossless-reencodings": same_as("ref_rgb.png", only="^(?!pal_|ref_grey)"),
    "refused-sample-types": all_refused(),
    "names": odd_names,
    "same-names-two-folders": two_folders,
}


def images(folder: Path) -> list[Path]:
    known = {".png", ".jpg", ".jpe", ".jfif", ".tif", ".czi", ".nd2"}
    return sorted(path for path in folder.glob("*") if path.suffix.lower() in known)


def run_case(source: Path, work: Path) -> tuple[dict, Outcome, list[str]]:
    """Run one case in a copy of its folder.

    Returns:
        What its case.json says, what happened, and what is wrong with it.
    """
    case = json.loads((source / "case.json").read_text())
    folder = work / source.name
    shutil.copytree(source, folder, copy_function=shutil.copyfile)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    (folder / "case.json").unlink()
    special = {"watch-growing-stack": _watch, "windows-path-upload": _upload}
    outcome = special.get(case["name"], _command)(folder, case["command"])
    for line in outcome.out.splitlines():
        if line.startswith("{"):
            result = json.loads(line)
            outcome.results[result["image"]] = result
    return case, outcome, list(CHECKS[case["name"]](outcome))


def _environment(work: Path) -> dict[str, str]:
    """`fluocount` is this source tree's."""
    bin_dir = work / "bin"
    bin_dir.mkdir(exist_ok=True)
    script = bin_dir / "fluocount"
    script.write_text(
        f'#!/bin/sh\nexec "{sys.executable}" -c "from device.cli import main; main()" "$@"\n'
    )
    script.chmod(0o755)
    return os.environ | {"PYTHONPATH": str(ROOT), "PATH": f"{bin_dir}:{os.environ['PATH']}"}


def _command(folder: Path, command: str) -> Outcome:
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=_environment(folder.parent),
        capture_output=True,
        timeout=600,
    )
    return Outcome(
        folder,
        done.returncode,
        done.stdout.decode(errors="replace"),
        done.stderr.decode(errors="replace"),
    )


def _watch(folder: Path, command: str) -> Outcome:
    """A writer that pauses for long between its pages, beside `fluocount watch`."""
    watched = folder / "in"
    watched.mkdir()
    options = ["--settle", "0.3", "--out", str(folder / "out"), "--data-dir", str(folder / "data")]
    environment = _environment(folder.parent)
    watch = subprocess.Popen(
        [str(folder.parent / "bin" / "fluocount"), "watch", str(watched), *options],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said: list[str] = []
    lines = watch.stdout
    assert lines is not None
    reader = threading.Thread(target=lambda: said.extend(lines), daemon=True)
    reader.start()
    writer = [
        sys.executable,
        str(folder / "growing.py"),
        str(watched),
        str(folder / "ref_grey.png"),
        "15",
    ]
    subprocess.run(writer, env=environment, check=True)
    until = time.monotonic() + 60
    while time.monotonic() < until and not any("planes" in line for line in said):
        time.sleep(0.2)
    time.sleep(2)
    watch.terminate()
    watch.wait(60)
    reader.join(10)
    return Outcome(folder, watch.returncode, "", "".join(said))


def _upload(folder: Path, command: str) -> Outcome:
    """The name that the API gives back for an upload under a Windows path."""
    from appliance import make_service

    from device.web import create_app

    head = 'Content-Disposition: form-data; name="image"; filename="C:\\Users\\Lab\\Desktop\\a.png"'
    body = f"--frontier\r\n{head}\r\n\r\n".encode() + (folder / "a.png").read_bytes()
    client = create_app(make_service(folder / "data")).test_client()
    accepted = client.post(
        "/api/v1/counts",
        data=body + b"\r\n--frontier--\r\n",
        content_type="multipart/form-data; boundary=frontier",
    )
    seen = client.get(f"/api/v1/counts/{accepted.json['id']}").json
    return Outcome(folder, 0, seen["image"], "")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=FOLDER)
    parser.add_argument("--only", default="", help="cases whose name holds this")
    options = parser.parse_args()
    cases = [
        path.parent
        for path in sorted(options.folder.glob("*/case.json"))
        if options.only in path.parent.name
    ]
    if not cases:
        print(f"There are no cases in {options.folder}.")
        return 0
    rows, failed = [], 0
    with tempfile.TemporaryDirectory(prefix="field-") as work:
        for source in cases:
            case, outcome, wrong = run_case(source, Path(work))
            failed += bool(wrong)
            seen = ", ".join(f"{name} {outcome.count(name)}" for name in outcome.results)
            rows.append(
                (
                    source.name,
                    "no" if wrong else "yes",
                    case["expected"],
                    "; ".join(wrong) or seen or " ".join(outcome.err.strip().splitlines()[-1:]),
                )
            )
    print(
        tabulate(rows, ("case", "right", "expected", "outcome"), maxcolwidths=[None, None, 50, 70])
    )
    print(f"{len(cases) - failed} of {len(cases)} as expected.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    sys.exit(main())
