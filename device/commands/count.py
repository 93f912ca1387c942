"""`fluocount count`: images and folders in, a table and files out."""

import importlib
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import click
import msgspec

from device import sandbox
from device.assays.library import find_assay, find_objective
from device.batch.counting import (
    Done,
    ItemCounter,
    Start,
    count_there,
    open_quietly,
    without_native_chatter,
)
from device.batch.items import Item, search
from device.batch.report import BatchReport
from device.batch.sidebyside import in_order
from device.bench.limit import int8_limit_gmac_s
from device.commands.options import (
    assay_option,
    objective_option,
    reading_options,
    settings_options,
    settings_with_models,
    take_settings,
)
from device.config import Settings
from device.counting.card import ModelCard
from device.counting.reading import AS_THE_FILE_SAYS
from device.counting.records import CountResult, to_json, with_assay
from device.counting.tiles import Progress
from device.errors import InputError, StorageError
from device.machine.cores import share_cores
from device.machine.files import display_name
from device.machine.processes import WorkerProcess
from device.models.estimate import PROGRAM_MB
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
@objective_option
@settings_options
@reading_options
@click.option("--recursive", is_flag=True, help="Search sub-folders too.")
@click.option("--resume", is_flag=True, help="Continue an interrupted run into the same --out.")
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    metavar="N",
    help="Count in N processes of their own; each may take the memory that the settings allow.",
)
@click.option("--config", type=_PATH, help="Settings file (TOML).")
def command(paths: tuple[Path, ...], out_dir: Path | None, **chosen: Any) -> None:
    """Count the cells in images (PNG, JPEG, TIFF) or in all images of folders."""
    if chosen["resume"] and out_dir is None:
        raise InputError("Name the output folder of the interrupted run with --out.")
    found = search(paths, recursive=chosen["recursive"])
    items, configured = found.items, settings_with_models(chosen["config"])
    assay = find_assay(chosen["assay"], configured)
    asked = msgspec.structs.replace(
        take_settings(chosen, AS_THE_FILE_SAYS),
        objective=find_objective(chosen["objective"], configured),
    )
    settings = with_assay(asked, assay)
    room_mb = configured.counting.max_memory_mb
    counter = ItemCounter(settings, out_dir, chosen["resume"], room_mb)
    crew = _hire(chosen["model"] or assay.model, counter, configured, len(items), chosen["workers"])
    batch = _Batch(crew, counter, chosen["as_json"])
    batch.report.pass_over(found)
    batch.announce(items)
    try:
        with closing(crew):
            batch.count(items)
        _finish(batch.report, out_dir, with_table=not chosen["as_json"])
    except KeyboardInterrupt:
        _stop(batch.report, out_dir)
    except OSError as error:
        raise StorageError(
            f"{error.filename or out_dir} cannot be written ({error.strerror}); fix that and continue "
            "with --resume."
        ) from None


class _Crew:
    """Who counts: threads of this program, each with an interpreter, or processes.

    Attributes:
        card: of the model.
    """

    def __init__(self, card: ModelCard, workers: list[Any], work: Callable[..., Done]) -> None:
        self.card = card
        self._workers = workers
        self._work = work

    def count(self, items: list[Item], progress: Progress) -> Iterator[Done]:
        """The outcomes in the order of the items."""
        return in_order(items, self._workers, self._work, progress)

    def close(self) -> None:
        """Stop the processes."""
        for worker in self._workers:
            if isinstance(worker, WorkerProcess):
                worker.stop()


def _hire(
    model: str, counter: ItemCounter, configured: Settings, items: int, processes: int | None
) -> _Crew:
    from device.models.auto import card_of

    counting = configured.counting
    if processes is not None:
        threads = share_cores(processes, counting.threads)[1]
        start = Start(model, threads, configured.data_dir, counter)
        hired = [WorkerProcess(start) for _ in range(min(processes, items))]
        return _Crew(card_of(model), hired, count_there)
    workers, threads = share_cores(items, counting.threads)
    sandbox.configure(workers)
    segmenters = [open_quietly(model, threads) for _ in range(workers)]
    # It takes a quarter of a second to import, and is needed once the first image is read, which another process does.
    threading.Thread(target=importlib.import_module, args=("scipy.ndimage",)).start()
    memory_mb.resize(counter.max_memory_mb - PROGRAM_MB)
    return _Crew(segmenters[0].card, segmenters, counter.count)


@dataclass(slots=True)
class _Batch:
    """One run over many images; `report` has their outcomes, also after an interruption."""

    crew: _Crew
    counter: ItemCounter
    as_json: bool
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
            for number, done in enumerate(self.crew.count(items, progress), start=1):
                self._keep(done)
                bar.update(number * _STEPS - bar.pos, done.item.name)

    def announce(self, items: list[Item]) -> None:
        """Show what the largest file will need; a file that cannot be used is reported later, in its turn."""
        if not items:  # nothing but files that cannot be read
            return
        largest = max(items, key=_file_bytes)
        try:
            needed = self.counter.require_memory(largest, self.crew.card)
        except InputError:
            return
        with without_native_chatter():
            seconds = needed.seconds(int8_limit_gmac_s(1, runs=5))
        click.echo(
            f"{display_name(largest.name)}: about {needed.memory_mb:.0f} MB and {seconds:.2g} s on one core",
            err=True,
        )

    def _keep(self, done: Done) -> None:
        if done.result is None:
            self.report.fail(done.item, done.error)
            return
        self.report.add(done.item, done.result, done.earlier_s)
        self._print(done.result)

    def _print(self, result: CountResult) -> None:
        if self.as_json:
            sys.stdout.buffer.write(to_json(result) + b"\n")
            sys.stdout.flush()


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
    if passed := report.describe_passed_over():
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
