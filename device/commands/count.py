"""`fluocount count`: images and folders in, a table and files out."""

import sys
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import click

from device.batch import Item, count_item, find_images
from device.batch_report import BatchReport
from device.config import default_settings_path, load_settings
from device.counting.records import CountResult, CountSettings, to_json
from device.counting.segmenter import Segmenter
from device.counting.tiles import Progress
from device.errors import InputError, StorageError
from device.files import display_name

_PATH = click.Path(path_type=Path)
_STEPS = 100
"""Steps of the bar per image."""


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
@click.option("--resume", is_flag=True, help="Go on with an interrupted run into the same --out.")
@click.option("--config", type=_PATH, help="Settings file (TOML).")
def command(paths: tuple[Path, ...], out_dir: Path | None, **chosen: Any) -> None:
    """Count the cells in images (PNG, JPEG, TIFF) or in all images of folders."""
    if chosen["resume"] and out_dir is None:
        raise InputError("What was done before is in the output folder; name it with --out.")
    items = find_images(paths, recursive=chosen["recursive"])
    settings = CountSettings(
        threshold=chosen["threshold"],
        cell_diameter_px=chosen["cell_diameter"],
        min_area_px=chosen["min_area"],
        exclude_border=chosen["exclude_border"],
    )
    segmenter = _open_model(chosen["config"], chosen["model"])
    batch = _Batch(segmenter, settings, out_dir, chosen["resume"], chosen["as_json"])
    try:
        batch.count(items)
        _finish(batch.report, out_dir, with_table=not chosen["as_json"])
    except KeyboardInterrupt:
        _stopped(batch.report, out_dir)
    except OSError as error:
        raise StorageError(
            f"{error.filename or out_dir} cannot be written ({error.strerror}); mend that and go on "
            "with --resume."
        ) from None


def _open_model(config: Path | None, model: str | None) -> Segmenter:
    from device.models.card import find_model
    from device.models.interpreter import load_segmenter

    counting = load_settings(config or default_settings_path()).counting
    return load_segmenter(find_model(model or counting.model), counting.threads)


@dataclass(slots=True)
class _Batch:
    """One run over many images; `report` holds what became of them, also after an interruption."""

    segmenter: Segmenter
    settings: CountSettings
    out_dir: Path | None
    resume: bool
    as_json: bool
    report: BatchReport = field(default_factory=BatchReport)

    def count(self, items: list[Item]) -> None:
        """Count one by one, with bar and remaining time on the terminal, where there is one."""
        bar = click.progressbar(
            length=len(items) * _STEPS,
            label="Counting",
            file=sys.stderr,
            show_pos=False,
            item_show_func=_bar_text,
        )
        with bar:
            for number, item in enumerate(items):
                start = number * _STEPS

                def progress(
                    done: int, total: int, start: int = start, name: str = item.name
                ) -> None:
                    bar.update(start + _STEPS * done // total - bar.pos, name)

                self._count_one(item, progress)
                progress(1, 1)

    def _count_one(self, item: Item, progress: Progress) -> None:
        if self.resume and self._take_over(item):
            return
        from device.export.folder import write_image_files

        write = None if self.out_dir is None else partial(write_image_files, self.out_dir)
        outcome = count_item(item, self.segmenter, self.settings, write=write, progress=progress)
        if outcome.counted is None:
            self.report.fail(item, outcome.error)
        else:
            self.report.add(item, outcome.counted.result)
            self._print(outcome.counted.result)

    def _take_over(self, item: Item) -> bool:
        from device.resume import done_before

        assert self.out_dir is not None
        done = done_before(self.out_dir, item, self.settings, self.segmenter.card)
        if done is not None:
            result, earlier_s = done
            self.report.add(item, result, earlier_s)
            self._print(result)
        return done is not None

    def _print(self, result: CountResult) -> None:
        if self.as_json:
            sys.stdout.buffer.write(to_json(result) + b"\n")
            sys.stdout.flush()


def _bar_text(name: str | None) -> str | None:
    return None if name is None else display_name(name)


def _finish(report: BatchReport, out_dir: Path | None, *, with_table: bool) -> None:
    """The tables, what could not be counted, the summary and the exit status."""
    if with_table and (table := report.table()):
        click.echo(table)
    if out_dir is not None:
        report.write(out_dir)
        click.echo(f"Overlays, label images and tables are in {out_dir}", err=True)
    for _, sentence in report.failures:
        click.echo(f"fluocount: {sentence}", err=True)
    click.echo(report.summary(), err=True)
    if report.failures:
        sys.exit(1)


def _stopped(report: BatchReport, out_dir: Path | None) -> NoReturn:
    """Somebody pressed Ctrl-C: keep the table of what is done."""
    click.echo(f"Stopped. {report.summary()}", err=True)
    if out_dir is not None:
        report.write(out_dir)
        click.echo("The same command with --resume goes on.", err=True)
    sys.exit(130)
