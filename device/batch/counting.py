"""One image of a batch from its file to its files, in a thread or in a process of its own."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from device import sandbox
from device.batch.items import Item, count_item
from device.batch.remote import fetched
from device.counting.assay import adapt_card
from device.counting.card import ModelCard
from device.counting.records import Counted, CountResult, CountSettings, Frame
from device.counting.segmenter import Segmenter
from device.counting.tiles import Progress
from device.errors import InputError
from device.machine.files import display_name
from device.machine.processes import TRIES, WorkerDied, WorkerProcess
from device.models.card import use_installed
from device.models.estimate import PROGRAM_MB, Estimate, require_memory
from device.sandbox.room import memory_mb


@dataclass(frozen=True, slots=True)
class Done:
    """The outcome of one image; small, because it waits until the earlier images are done."""

    item: Item
    result: CountResult | None = None
    error: str = ""
    earlier_s: float | None = None


@dataclass(frozen=True, slots=True)
class ItemCounter:
    """Counts images of a batch.

    Attributes:
        settings: for all images.
        out_dir: where the files of each image go, None for nowhere.
        resume: take over what an earlier run into `out_dir` has counted.
        max_memory_mb: an image that needs more is refused.
    """

    settings: CountSettings
    out_dir: Path | None
    resume: bool
    max_memory_mb: float

    def count(self, item: Item, segmenter: Segmenter, progress: Progress | None = None) -> Done:
        """Fetch, read, count and save one image."""
        with ExitStack() as stack:
            try:
                here = stack.enter_context(fetched(item))
            except InputError as error:
                return Done(item, error=str(error))
            return self._count(here, segmenter, progress)

    def _count(self, item: Item, segmenter: Segmenter, progress: Progress | None) -> Done:
        if self.resume and (done := self._take_over(item, segmenter)):
            return done
        try:
            needed = self.require_memory(item, segmenter.card)
        except InputError as error:
            return Done(item, error=str(error))
        write = None if self.out_dir is None else partial(_write, self.out_dir)
        with memory_mb.take(needed.memory_mb - PROGRAM_MB):
            outcome = count_item(item, segmenter, self.settings, write=write, progress=progress)
        result = None if outcome.counted is None else outcome.counted.result
        return Done(item, result, outcome.error)

    def require_memory(self, item: Item, card: ModelCard) -> Estimate:
        """What an image will need.

        Raises:
            InputError: more than is allowed, or the file cannot be used.
        """
        with sandbox.open_image(item.path, display_name(item.name)) as image:
            header = image.header()
        card = adapt_card(card, self.settings.assay)
        return require_memory(header, card, self.settings, self.max_memory_mb, item.name)

    def _take_over(self, item: Item, segmenter: Segmenter) -> Done | None:
        from device.batch.resume import done_before

        assert self.out_dir is not None
        done = done_before(self.out_dir, item, self.settings, segmenter)
        return None if done is None else Done(item, done[0], earlier_s=done[1])


@dataclass(frozen=True, slots=True)
class Start:
    """What a process needs to count on its own.

    Attributes:
        model, threads: see `open_quietly`.
        data_dir: where installed models are found.
        counter: how images are counted.
    """

    model: str
    threads: int
    data_dir: Path
    counter: ItemCounter

    def __call__(self) -> Callable[[Item], Done]:
        """Open the model, in the process that will use it."""
        use_installed(self.data_dir)
        segmenter = open_quietly(self.model, self.threads)
        sandbox.configure(1)
        memory_mb.resize(self.counter.max_memory_mb - PROGRAM_MB)
        return partial(self.counter.count, segmenter=segmenter)


def count_there(item: Item, worker: WorkerProcess[Item, Done], progress: Progress) -> Done:
    """Count in another process; an image that ends it again and again is one that cannot be counted.

    `progress` is only asked whether to go on: after Ctrl-C it raises, and the process ends.
    """
    try:
        return worker.do(item, lambda: progress(0, 1))
    except WorkerDied:
        return Done(
            item,
            error=f"The program stopped {TRIES} times while it counted this image, most likely because memory ran out; "
            "use fewer workers, or a smaller image.",
        )


def open_quietly(model: str, threads: int) -> Segmenter:
    """Open what a person named; see device.models.auto.

    Raises:
        ModelError: missing or damaged.
    """
    from device.models.auto import open_model

    with without_native_chatter():
        return open_model(model, threads)


@contextmanager
def without_native_chatter() -> Iterator[None]:
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


def _write(out_dir: Path, name: str, frame: Frame, counted: Counted) -> None:
    from device.batch.folder import write_image_files

    write_image_files(out_dir, name, frame, counted)
