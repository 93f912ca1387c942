"""Images at an address that fsspec knows: s3://, https://, sftp://, zip://. Each is fetched when its turn comes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from device.batch.spool import Found, Item, Spool
from device.errors import InputError
from device.imageio.filenames import Kind, judge_remote
from device.machine.files import display_name, one_line


def is_address(text: str) -> bool:
    """Whether it is no path of this computer."""
    return "://" in text


def search_address(spool: Spool, path_number: int, address: str, *, recursive: bool) -> None:
    """Find the images below an address, or take it for one image.

    Args:
        spool: where to.
        path_number: place of the address on the command line.
        address: as fsspec takes it; `zip://::/disk/plate.zip` is the inside of a file.
        recursive: search sub-folders too.

    Raises:
        InputError: it cannot be listed, or holds no images.
    """
    files, root, rest = _open(address)
    before = spool.all_images
    with _explained(address):
        if not files.isdir(root):
            item = Item(Path(PurePosixPath(root).name), PurePosixPath(root).name, address)
            spool.add(path_number, Found(item, place=address))
            return
        for folder, _, names in files.walk(root, maxdepth=None if recursive else 1):
            for name in names:
                path = f"{folder}/{name}" if folder else name
                spool.add(path_number, _judge(files, root, path, rest))
    if spool.all_images == before:
        raise InputError(
            f"{_shown(address)} contains no images that fluocount reads; name another address, or --recursive for its "
            "sub-folders."
        )


def _judge(files: Any, root: str, path: str, rest: str) -> Found:
    relative = PurePosixPath(path[len(root) :].lstrip("/"))
    item = Item(Path(relative.name), str(relative), files.unstrip_protocol(path) + rest)
    if ".." in relative.parts:  # an archive may call its files anything
        return Found(item, Kind.FOREIGN, "its name leads out of the folder; rename it there.")
    beside = PurePosixPath(path[: len(path) - len(str(relative))])
    judged = judge_remote(relative, lambda other: bool(files.exists(str(beside / other))))
    return Found(item, judged.kind, judged.reason, item.url if judged.kind is Kind.IMAGE else "")


@contextmanager
def fetched(item: Item) -> Iterator[Item]:
    """The item with its file on this computer until the end of the block; one that is here already as it is.

    Raises:
        InputError: it cannot be fetched.
    """
    if not item.url:
        yield item
        return
    with TemporaryDirectory(prefix="fluocount-") as folder:
        path = Path(folder) / PurePath(item.name).name
        files, place, _ = _open(item.url)
        with _explained(item.name):
            files.get_file(place, str(path))
        yield Item(path, item.name)


def _open(address: str) -> tuple[Any, str, str]:
    """(file system, path in it, what of a chained address comes behind the path)."""
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise InputError(
            f"{_shown(address)} is an address; such files need the extra `remote`: pip install 'fluocount[remote]'."
        ) from None
    with _explained(address):
        files, root = url_to_fs(address)
    _, sign, rest = address.partition("::")
    return files, str(root), sign + rest


@contextmanager
def _explained(address: str) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001 - each kind of storage has errors of its own
        said = one_line(str(error)) or type(error).__name__
        if secret := address.partition("://")[2].rpartition("@")[0]:
            said = said.replace(secret, "***")
        raise InputError(
            f"{_shown(address)} cannot be fetched ({said}); check the address and the connection."
        ) from None


def _shown(address: str) -> str:
    """Without a password."""
    head, sign, rest = address.partition("://")
    return display_name(f"{head}{sign}{rest.rpartition('@')[2]}")
