"""The stored counts: one SQLite file (or a PostgreSQL database), and one folder per result in the data folder.

    store = open_store(settings.storage)
    row = store.counts.accept(NewCount(data=..., image="a.tif", origin="watch", model="fast"))
    store.counts.get(row.id).status          queued, running, done, failed or cancelled
    store.result(row.id)                     CountResult of a done count
    store.folders.product(row.id, row.revision, "labels.tiff")

A process that accepts images needs no worker: see device.jobs.
"""

from contextlib import suppress
from pathlib import Path

import msgspec

from device.config import StorageSettings
from device.counting.records import DECODE_ERRORS, CountResult
from device.errors import ConflictError, DamagedError, NotFoundError, StorageError, UnavailableError
from device.machine.faults import is_of_the_machine
from device.machine.files import sync_folder
from device.store import rows
from device.store.access import Access
from device.store.assays import Assays
from device.store.corrections import Corrections
from device.store.counts import Counts
from device.store.disk import DiskState, disk_state
from device.store.feed import Feed
from device.store.forwarded import PICTURES, image_stayed
from device.store.inbox import Inbox
from device.store.kind import DATABASE_NAME, open_database
from device.store.leases import Leases
from device.store.lock import WORKER_LOCK, FileLock
from device.store.objectives import Objectives
from device.store.outbox import Outbox
from device.store.queue import JobQueue
from device.store.records import CountRow, Edit, Filter, NewCount
from device.store.regions import Regions
from device.store.results import ResultFolders
from device.store.reviews import Reviews
from device.store.studies import Studies

__all__ = [
    "DATABASE_NAME",
    "CountRow",
    "DiskState",
    "Edit",
    "Filter",
    "NewCount",
    "Store",
    "open_store",
]


class Store:
    """The parts of the store, opened together.

    Attributes:
        data_dir: the data folder.
        database: connections and integrity check.
        counts: accept, look up, list, edit, delete.
        queue: status changes; the worker's side.
        corrections: cells added and removed by hand.
        regions: named polygons on the images.
        folders: original images and products.
        access: users, tokens, secrets.
        assays: every version of every assay.
        objectives: their names and what they make of a pixel.
        feed: what changed since somebody asked.
        studies: questions, and which images belong to them.
        reviews: blinded reviews of studies.
        inbox: finished counts that other instruments send.
    """

    def __init__(self, data_dir: Path, settings: StorageSettings) -> None:
        self.data_dir = data_dir
        self.settings = settings
        self.database = open_database(data_dir, settings)
        self.folders = ResultFolders(data_dir / "results")
        self.counts = Counts(self.database, self.folders, settings)
        self.queue = JobQueue(self.database, settings, is_shared=self.is_shared)
        self.corrections = Corrections(self.database)
        self.regions = Regions(self.database)
        self.access = Access(self.database)
        self.assays = Assays(self.database)
        self.objectives = Objectives(self.database)
        self.feed = Feed(self.database)
        self.studies = Studies(self.database)
        self.reviews = Reviews(self.database)
        self.inbox = Inbox(self.database, self.folders, settings)

    @property
    def is_shared(self) -> bool:
        """True where other servers may work on the same results."""
        return self.settings.database is not None

    def worker_lock(self) -> FileLock | Leases:
        """Who holds it counts: one process of a data folder, or each of the servers that share a database."""
        return self.queue.leases or FileLock(self.data_dir / WORKER_LOCK)

    def outbox(self, central: str) -> Outbox:
        """What the central page of that address has not got yet."""
        return Outbox(self.database, self.folders, central)

    def disk(self) -> DiskState:
        """Free space on the file system of the data folder."""
        return disk_state(self.data_dir, self.settings)

    def result(self, count_id: str) -> CountResult:
        """The CountResult of a done count.

        Raises:
            NotFoundError: there is no such count, or it was deleted meanwhile.
            ConflictError: it is not done.
            DamagedError: the stored file is damaged.
            UnavailableError: nothing can be read now.
        """
        path = self.product(count_id, "result.json")
        try:
            return msgspec.json.decode(path.read_bytes(), type=CountResult)
        except FileNotFoundError:
            raise NotFoundError("This count was changed or deleted meanwhile.") from None
        except (OSError, *DECODE_ERRORS) as error:
            if isinstance(error, OSError) and is_of_the_machine(error):
                raise UnavailableError(f"{path} cannot be read now ({error.strerror}).") from error
            raise DamagedError(
                f"{path} is damaged ({error}); restore a backup or count the image again."
            ) from error

    def product(self, count_id: str, name: str) -> Path:
        """Path of one of results.PRODUCTS of a done count, in its present revision.

        Raises:
            NotFoundError: there is no such count or product.
            ConflictError: the count is not done.
        """
        row = rows.get(self.database, count_id)
        if row.status != "done":
            raise ConflictError(
                f"The count of {row.image} is {row.status}; its results exist when it is done."
            )
        try:
            return self.folders.product(count_id, row.revision, name)
        except NotFoundError:
            if row.instrument is not None and name in PICTURES:
                raise image_stayed(row.instrument) from None
            raise

    def close(self) -> None:
        """Close this thread's connections."""
        self.database.close()


def open_store(settings: StorageSettings) -> Store:
    """Open the store of `settings.data_dir`; creates or migrates it if necessary.

    Raises:
        StorageError: the folder cannot be created or written, or the database is damaged or too new.
    """
    data_dir = Path(settings.data_dir).expanduser()
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        store = Store(data_dir, settings)
        # A new folder is on the disk only when the folder above is: else the first counts go with it.
        for folder in (data_dir, *data_dir.absolute().parents):
            with suppress(PermissionError):
                sync_folder(folder)
            if folder.is_mount():
                break
        return store
    except OSError as error:
        raise StorageError(
            f"The data folder {data_dir} cannot be used ({error.strerror}); check its permissions "
            "or name another folder "
            "with --data-dir."
        ) from None
