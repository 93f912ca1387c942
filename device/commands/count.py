"""`fluocount count`: images and folders in, a table and files out."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from device.batch import Item, Outcome, Writer, count_item, find_images
from device.config import default_settings_path, load_settings
from device.counting.records import Counted, CountResult, CountSettings, Frame, to_json
from device.counting.segmenter import Segmenter

_PATH = click.Path(path_type=Path)


@click.command("count")
@click.argument("paths", nargs=-1, required=True, type=_PATH, metavar="PATH...")
@click.option("--out", "out_dir", type=_PATH, help="Write overlays, labels and tables here.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per image and line.")
@click.option("--threshold", type=float, help="Cut-off, 0 to 1 (default: the model card's).")
@click.option(
    "--cell-diameter", type=float, metavar="PX", help="How large a cell is in the images."
)
@click.option(
    "--min-area", type=float, metavar="PX", help="Smallest object that counts, in pixels."
)
@click.option("--model", help="Name of a shipped model or path of a .tflite.")
@click.option("--exclude-border", is_flag=True, help="Leave out cells touching the image's edge.")
@click.option("--recursive", is_flag=True, help="Search sub-folders too.")
@click.option("--config", type=_PATH, help="Settings file (TOML).")
def command(paths: tuple[Path, ...], out_dir: Path | None, as_json: bool, **chosen: Any) -> None:
    """Count the cells in images (PNG, JPEG, TIFF) or in all images of folders."""
    items = find_images(paths, recursive=chosen["recursive"])
    segmenter = _open_model(chosen["config"], chosen["model"])
    settings = CountSettings(
        threshold=chosen["threshold"],
        cell_diameter_px=chosen["cell_diameter"],
        min_area_px=chosen["min_area"],
        exclude_border=chosen["exclude_border"],
    )
    results: list[CountResult] = []
    failures: list[str] = []
    for outcome in _count_all(items, segmenter, settings, out_dir):
        if outcome.counted is None:
            failures.append(outcome.error)
            continue
        results.append(outcome.counted.result)
        if as_json:
            sys.stdout.buffer.write(to_json(results[-1]) + b"\n")
            sys.stdout.flush()
    if not as_json:
        _print_table(results)
    _finish(results, failures, out_dir)


def _open_model(config: Path | None, model: str | None) -> Segmenter:
    from device.models.card import find_model
    from device.models.interpreter import load_segmenter

    counting = load_settings(config or default_settings_path()).counting
    return load_segmenter(find_model(model or counting.model), counting.threads)


def _count_all(
    items: list[Item], segmenter: Segmenter, settings: CountSettings, out_dir: Path | None
) -> Iterator[Outcome]:
    """Count one by one with a bar on the terminal, where there is one."""
    write = None if out_dir is None else _writer(out_dir)
    with click.progressbar(
        length=len(items) * 100, label="Counting", file=sys.stderr, show_pos=False
    ) as bar:
        for number, item in enumerate(items):

            def progress(done: int, total: int, start: int = number * 100) -> None:
                bar.update(start + 100 * done // total - bar.pos)

            yield count_item(item, segmenter, settings, write=write, progress=progress)
            bar.update((number + 1) * 100 - bar.pos)


def _writer(out_dir: Path) -> Writer:
    from device.export.folder import write_image_files

    def write(name: str, frame: Frame, counted: Counted) -> None:
        write_image_files(out_dir, name, frame, counted)

    return write


def _print_table(results: list[CountResult]) -> None:
    from tabulate import tabulate

    if not results:
        return
    rows = [
        [result.image, result.count, f"{result.interval[0]} to {result.interval[1]}", len(result.doubtful),
         f"{result.width}x{result.height}", f"{result.seconds.total:.2f}"]
        for result in results
    ]  # fmt: skip
    click.echo(tabulate(rows, ["image", "cells", "90 % interval", "doubtful", "pixels", "seconds"]))


def _finish(results: list[CountResult], failures: list[str], out_dir: Path | None) -> None:
    """counts.csv, where everything is, what could not be counted, and the exit status."""
    if out_dir is not None and results:
        from device.export.tables import counts_header, counts_row, csv_lines
        from device.files import write_atomic

        lines = csv_lines([counts_header(), *(counts_row(result) for result in results)])
        write_atomic(out_dir / "counts.csv", lines.encode())
        click.echo(f"Overlays, label images and tables are in {out_dir}", err=True)
    for failure in failures:
        click.echo(f"fluocount: {failure}", err=True)
    if failures:
        sys.exit(1)
