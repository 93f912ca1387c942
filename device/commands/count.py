"""`fluocount count`: images and folders in, a table and files out."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import click

from device import sandbox
from device.assays.library import find_assay
from device.batch.items import Item, count_item, search
from device.batch.report import BatchReport
from device.batch.sidebyside import in_order
from device.bench.limit import int8_limit_gmac_s
from device.commands.options import (
    assay_option,
    reading_options,
    settings_options,
    settings_with_models,
    take_settings,
)
from device.counting.assay import adapt_card
from device.counting.card import ModelCard
from device.counting.reading import AS_THE_FILE_SAYS
from device.counting.records import Counted, CountResult, CountSettings, Frame, to_json, with_assay
from device.counting.segmenter import Segmenter
from device.counting.tiles import Progress
from device.errors import InputError, StorageError
from device.machine.cores import share_cores
from device.machine.files import display_name
from device.models.estimate import PROGRAM_MB, Estimate, require_memory
from device.sandbox.room import memory_mb

_PATH = click.Path(path_type=Path)
_STEPS = 100
"""Steps of the bar per image."""


@click.command("count")
@click.argument("paths", nargs=-1, required=True, type=_PATH, metavar="PATH...")
@click.option("--out", "out_dir", type=_PATH, help="Write overlays, labels and tables here.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per image and line.")
@click.option("--model", help="Name of a shipped model or path of a .tflite.")
@assay_option
@settings_options
@reading_options
@click.option("--recursive", is_flag=True, help="Search sub-folders too.")
@click.option("--resume", is_flag=True, help="Continue an interrupted run into the same --out.")
@click.option("--config", type=_PATH, help="Settings file (TOML).")
def command(paths: tuple[Path, ...], out_dir: Path | None, **chosen: Any) -> None:
    """Count the cells in images (PNG, JPEG, TIFF) or in all images of folders."""
    if chosen["resume"] and out_dir is None:
        raise InputError("Name the output folder of the interrupted run with --out.")
    found = search(paths, recursive=chosen["recursive"])
    items, configured = found.items, settings_with_models(chosen["config"])
    assay = find_assay(chosen["assay"], configured)
    settings = with_assay(take_settings(chosen, AS_THE_FILE_SAYS), assay)
    counting = configured.counting
    workers, threads = share_cores(len(items), counting.threads)
    model = chosen["model"] or assay.model
    sandbox.configure(workers)
    segmenters = [_open_model(model, threads) for _ in range(workers)]
    room_mb = counting.max_memory_mb
    memory_mb.resize(room_mb - PROGRAM_MB)
    batch = _Batch(segmenters, settings, out_dir, chosen["resume"], chosen["as_json"], room_mb)
    batch.report.pass_over(found)
    batch.announce(items)
    try:
        batch.count(items)
        _finish(batch.report, out_dir, with_table=not chosen["as_json"])
    except KeyboardInterrupt:
        _stop(batch.report, out_dir)
    except OSError as error:
        raise StorageError(
            f"{error.filename or out_dir} cannot be written ({error.strerror}); fix that and continue "
            "with --resume."
        ) from None


def _open_model(model: str, threads: int) -> Segmenter:
    from device.models.auto import open_model

    with _without_native_chatter():
        return open_model(model, threads)


@contextmanager
def _without_native_chatter() -> Iterator[None]:
    """Hide what libraries print to the terminal directly; the interpreter prints a line when it starts."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@dataclass(frozen=True, slots=True)
class _Done:
    """The outcome of one image; small, because it waits until the earlier images are done."""

    item: Item
    result: CountResult | None = None
    error: str = ""
    earlier_s: float | None = None


@dataclass(slots=True)
class _Batch:
    """One run over many images; `report` has their outcomes, also after an interruption."""

    segmenters: list[Segmenter]
    settings: CountSettings
    out_dir: Path | None
    resume: bool
    as_json: bool
    max_memory_mb: float
    report: BatchReport = field(default_factory=BatchReport)

    def count(self, items: list[Item]) -> None:
        """Count several images at once; on a terminal show a bar with the remaining time."""
        bar = click.progressbar(
            length=len(items) * _STEPS,
            label="Counting",
            file=sys.stderr,
            show_pos=False,
            item_show_func=_bar_text,
        )

        def progress(done: int, total: int) -> None:
            bar.update(bar.pos // _STEPS * _STEPS + (_STEPS - 1) * done // total - bar.pos)

        with bar:
            for number, done in enumerate(
                in_order(items, self.segmenters, self._count_one, progress), start=1
            ):
                self._keep(done)
                bar.update(number * _STEPS - bar.pos, done.item.name)

    def _count_one(self, item: Item, segmenter: Segmenter, progress: Progress) -> _Done:
        if self.resume and (done := self._take_over(item, segmenter)):
            return done
        try:
            needed = self._require_memory(item, segmenter.card)
        except InputError as error:
            return _Done(item, error=str(error))
        write = None if self.out_dir is None else partial(_write, self.out_dir)
        with memory_mb.take(needed.memory_mb - PROGRAM_MB):
            outcome = count_item(item, segmenter, self.settings, write=write, progress=progress)
        result = None if outcome.counted is None else outcome.counted.result
        return _Done(item, result, outcome.error)

    def _require_memory(self, item: Item, card: ModelCard) -> Estimate:
        with sandbox.open_image(item.path, display_name(item.name)) as image:
            header = image.header()
        card = adapt_card(card, self.settings.assay)
        return require_memory(header, card, self.settings, self.max_memory_mb, item.name)

    def announce(self, items: list[Item]) -> None:
        """Show what the largest file will need; a file that cannot be used is reported later, in its turn."""
        largest = max(items, key=_file_bytes)
        try:
            needed = self._require_memory(largest, self.segmenters[0].card)
        except InputError:
            return
        with _without_native_chatter():
            seconds = needed.seconds(int8_limit_gmac_s(1, runs=5))
        click.echo(
            f"{display_name(largest.name)}: about {needed.memory_mb:.0f} MB and {seconds:.2g} s on one core",
            err=True,
        )

    def _take_over(self, item: Item, segmenter: Segmenter) -> _Done | None:
        from device.batch.resume import done_before

        assert self.out_dir is not None
        done = done_before(self.out_dir, item, self.settings, segmenter)
        return None if done is None else _Done(item, done[0], earlier_s=done[1])

    def _keep(self, done: _Done) -> None:
        if done.result is None:
            self.report.fail(done.item, done.error)
            return
        self.report.add(done.item, done.result, done.earlier_s)
        self._print(done.result)

    def _print(self, result: CountResult) -> None:
        if self.as_json:
            sys.stdout.buffer.write(to_json(result) + b"\n")
            sys.stdout.flush()


def _write(out_dir: Path, name: str, frame: Frame, counted: Counted) -> None:
    from device.batch.folder import write_image_files

    write_image_files(out_dir, name, frame, counted)


def _file_bytes(item: Item) -> int:
    try:
        return item.path.stat().st_size
    except OSError:
        return 0  # the error is reported when its turn comes


def _bar_text(name: str | None) -> str | None:
    return None if name is None else display_name(name)


def _finish(report: BatchReport, out_dir: Path | None, *, with_table: bool) -> None:
    """The tables, what could not be counted, the summary and the exit status."""
    if with_table and (table := report.table()):
        click.echo(table)
    if out_dir is not None:
        report.write(out_dir)
        click.echo(f"Overlays, label images and tables are in {out_dir}", err=True)
    for sentence in report.sentences():
        click.echo(f"fluocount: {sentence}", err=True)
    if passed := report.passed_over():
        click.echo(passed, err=True)
    click.echo(report.summary(), err=True)
    if report.failures:
        sys.exit(1)


def _stop(report: BatchReport, out_dir: Path | None) -> NoReturn:
    """After Ctrl-C: write the table of the finished images."""
    click.echo(f"Stopped. {report.summary()}", err=True)
    if out_dir is not None:
        report.write(out_dir)
        click.echo("To continue, run the same command with --resume.", err=True)
    sys.exit(130)
