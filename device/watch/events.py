"""Reports changed files through watchdog: kernel events on local disks, polling on network shares."""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver
from watchdog.observers.polling import PollingObserver

from device.watch.mounts import on_network

_log = logging.getLogger(__name__)


class Listener(Protocol):
    """Receives the reports, in the observer's thread."""

    def note_change(self, path: Path, being_written: bool | None) -> None:
        """A file appeared or changed."""
        ...

    def gone(self, path: Path) -> None:
        """A file was deleted or renamed away."""
        ...

    def folder_changed(self) -> None:
        """A folder appeared or moved: its files may never be reported one by one."""
        ...


class _Handler(FileSystemEventHandler):
    def __init__(self, listener: Listener, polling: bool) -> None:
        self._listener = listener
        self._polling = polling

    def on_created(self, event: FileSystemEvent) -> None:
        self._note_change(event, event.src_path, True)

    def on_modified(self, event: FileSystemEvent) -> None:
        if (
            not event.is_directory
        ):  # also a change of permissions or times, after the file was closed
            self._note_change(event, event.src_path, None)

    def on_closed(self, event: FileSystemEvent) -> None:
        self._note_change(event, event.src_path, False)

    def on_moved(self, event: FileSystemEvent) -> None:
        if not event.is_directory:
            self._listener.gone(_path(event.src_path))
        self._note_change(event, event.dest_path, False)

    def on_deleted(self, event: FileSystemEvent) -> None:
        if not event.is_directory:
            self._listener.gone(_path(event.src_path))

    def _note_change(
        self, event: FileSystemEvent, path: bytes | str, being_written: bool | None
    ) -> None:
        if event.is_directory:
            self._listener.folder_changed()
        else:
            self._listener.note_change(_path(path), None if self._polling else being_written)


class FolderEvents:
    """An observer that outlives the folder: it watches remounted shares and recreated folders again.

    Args:
        folder: to watch.
        recursive: include sub-folders.
        poll: read the folder regularly, even if the kernel reports events.
        poll_interval_s: time between two readings.
        listener: receives the reports.
    """

    def __init__(
        self, folder: Path, recursive: bool, poll: bool, poll_interval_s: float, listener: Listener
    ) -> None:
        self._folder = folder
        self._recursive = recursive
        self._poll = poll
        self._poll_interval_s = poll_interval_s
        self._listener = listener
        self._observer: BaseObserver | None = None
        self._identity: tuple[int, int] | None = None

    def ensure(self, problem: Callable[[str], None]) -> bool:
        """Start observing, or start again if it ended; call often.

        Args:
            problem: called if there are no kernel events and polling is used instead.

        Returns:
            True if it was (re)started; then check all files, because events may have been missed.

        Raises:
            OSError: the folder does not exist.
        """
        identity = _identity(self._folder)
        if self._observer is not None and identity == self._identity and self._healthy():
            return False
        self.stop()
        polling = self._poll or on_network(self._folder)
        try:
            self._observer = self._start(polling)
        except OSError as error:
            if polling or not self._folder.is_dir():
                raise
            problem(
                f"The system reports no file events for {self._folder} ({error}); "
                "the folder is read regularly instead."
            )
            self._poll = True
            self._observer = self._start(polling=True)
        self._identity = identity
        return True

    def stop(self) -> None:
        """Stop observing."""
        if self._observer is not None:
            self._observer.stop()
            self._observer.join(10)
            self._observer = None

    def _start(self, polling: bool) -> BaseObserver:
        observer = PollingObserver(timeout=self._poll_interval_s) if polling else Observer()
        handler = _Handler(self._listener, polling)
        observer.schedule(handler, str(self._folder), recursive=self._recursive)
        observer.start()
        return observer

    def _healthy(self) -> bool:
        observer = self._observer
        if observer is None or not observer.is_alive() or not observer.emitters:
            return False
        return all(emitter.is_alive() for emitter in observer.emitters)


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _path(path: bytes | str) -> Path:
    return Path(os.fsdecode(path))
