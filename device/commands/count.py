"""`fluocount count`: images and folders in, a table and files out."""

import importlib
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
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
from device.batch.gather import gather
from device.batch.report import BatchReport
from device.batch.run import Run, write_run
from device.batch.sidebyside import in_order
from device.batch.spool import Item, Shard, Spool
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


def _read_shard(
    _context: click.Context, _option: click.Parameter, text: str | None
) -> Shard | None:
    if text is None:
        return None
    number, _, of = text.partition("/")
    if number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of):
        return Shard(int(number), int(of))
    raise click.BadParameter(f"{text} is no part I/N; the parts of three are 1/3, 2/3 and 3/3.")


@click.command("count")
@click.argument("places", nargs=-1, type=click.Path(), metavar="PATH...")
@click.option(
    "--list",
    "listed",
    type=_PATH,
    metavar="FILE",
    help="Count what FILE names, a path a line; - reads standard input.",
)
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
@click.option(
    "--shard",
    callback=_read_shard,
    metavar="I/N",
    help="Count only part I of N; the parts share no image, and `fluocount join` joins their tables.",
)
@click.option("--config", type=_PATH, help="Settings file (TOML).")
def command(places: tuple[str, ...], out_dir: Path | None, **chosen: Any) -> None:
    """Count the cells in images (PNG, JPEG, TIFF), in all images of folders, or at an address such as s3://..."""
    if chosen["resume"] and out_dir is None:
        raise InputError("Name the output folder of the interrupted run with --out.")
    shard: Shard | None = chosen["shard"]
    configured = settings_with_models(chosen["config"])
    assay = find_assay(chosen["assay"], configured)
    asked = msgspec.structs.replace(
        take_settings(chosen, AS_THE_FILE_SAYS),
        objective=find_objective(chosen["objective"], configured),
    )
    settings = with_assay(asked, assay)
    model = chosen["model"] or assay.model
    counter = ItemCounter(settings, out_dir, chosen["resume"], configured.counting.max_memory_mb)
    with gather(places, chosen["listed"], shard, recursive=chosen["recursive"]) as spool:
        crew = _hire(model, counter, configured, spool.images, chosen["workers"])
        run = Run(asked=model, model=crew.card.ref, settings=settings).covers(spool, shard)
        batch = _Batch(crew, counter, chosen["as_json"], run)
        batch.report.pass_over(spool)
        batch.announce(spool)
        batch.carry_out(spool)


class _Crew:
    """Who counts: threads of this program, each with an interpreter, or processes.

    Attributes:
        card: of the model.
    """

    def __init__(self, card: ModelCard, workers: list[Any], work: Callable[..., Done]) -> None:
        self.card = card
        self._workers = workers
        self._work = work

    def count(self, items: Iterable[Item], progress: Progress) -> Iterator[Done]:
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
    run: Run
    report: BatchReport = field(default_factory=BatchReport)

    def carry_out(self, spool: Spool) -> None:
        """Count, then write tables and summary; also after Ctrl-C."""
        out_dir = self.counter.out_dir
        try:
            if out_dir is not None:
                write_run(out_dir, self.run, finished=False)
            with closing(self.crew):
                self._count(spool)
            self._finish(out_dir)
        except KeyboardInterrupt:
            _stop(self.report, out_dir)
        except OSError as error:
            raise StorageError(
                f"{error.filename or out_dir} cannot be written ({error.strerror}); fix that and continue "
                "with --resume."
            ) from None

    def _count(self, spool: Spool) -> None:
        """Count several images at once; on a terminal show a bar with the remaining time."""
        bar = click.progressbar(
            length=spool.images * _STEPS,
            label="Counting",
            file=sys.stderr,
            show_pos=False,
            item_show_func=_bar_text,
        )

        def progress(done: int, total: int) -> None:
            bar.update(bar.pos // _STEPS * _STEPS + (_STEPS - 1) * done // total - bar.pos)

        with bar:
            for number, done in enumerate(self.crew.count(spool.items(), progress), start=1):
                self._keep(done)
                bar.update(number * _STEPS - bar.pos, done.item.name)

    def announce(self, spool: Spool) -> None:
        """Show what the largest file will need; a file that cannot be used is reported later, in its turn."""
        largest = max(spool.items(), key=_file_bytes, default=None)
        if largest is None or largest.url:  # no file that can be read, or it is not here yet
            return
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

    def _finish(self, out_dir: Path | None) -> None:
        """The tables, what could not be counted, the summary and the exit status."""
        report = self.report
        if not self.as_json and (table := report.table()):
            click.echo(table)
        if out_dir is not None:
            report.write(out_dir)
            write_run(out_dir, self.run, finished=True)
            click.echo(f"Overlays, label images and tables are in {out_dir}", err=True)
        for sentence in report.sentences():
            click.echo(f"fluocount: {sentence}", err=True)
        if passed := report.describe_passed_over():
            click.echo(passed, err=True)
        click.echo(report.summary(), err=True)
        if report.failures:
            sys.exit(1)

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


def _stop(report: BatchReport, out_dir: Path | None) -> NoReturn:
    """After Ctrl-C: write the table of the finished images."""
    click.echo(f"Stopped. {report.summary()}", err=True)
    if out_dir is not None:
        report.write(out_dir)
        click.echo("To continue, run the same command with --resume.", err=True)
    sys.exit(130)
