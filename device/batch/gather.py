"""All that a command line names as images: files and folders, a list, or an address."""

from collections.abc import Sequence
from pathlib import Path

from device.batch.items import search_into
from device.batch.listed import list_into
from device.batch.remote import is_address, search_address
from device.batch.spool import Shard, Spool
from device.errors import InputError


def gather(
    places: Sequence[str], listed: Path | None, shard: Shard | None, *, recursive: bool
) -> Spool:
    """Find the images; the caller closes the spool.

    Args:
        places: files and folders, or one address such as s3://bucket/plate.
        listed: a list instead of them.
        shard: keep only its images.
        recursive: search sub-folders too.

    Raises:
        InputError: nothing is named, or too much, or a folder without images.
    """
    addresses = [place for place in places if is_address(place)]
    if bool(places) == (listed is not None):
        raise InputError("Name images and folders, or a list of them with --list; one of the two.")
    if addresses and len(places) > 1:
        raise InputError(
            "Name one address and nothing beside it; a --list may hold many of one server."
        )
    spool = Spool(shard)
    try:
        if listed is not None:
            list_into(spool, listed)
        elif addresses:
            search_address(spool, 0, addresses[0], recursive=recursive)
        else:
            search_into(spool, map(Path, places), recursive=recursive)
    except BaseException:
        spool.close()
        raise
    return spool
