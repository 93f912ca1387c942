"""What instruments and the central page tell each other: the records on both ends of `[forward]`."""

import hashlib
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from device.counting.records import DECODE_ERRORS, CountResult, CountSettings
from device.errors import InputError, NotFoundError
from device.store.records import Correction, Needs, Origin, Relabel
from device.store.region import Region
from device.store.regions import check_regions
from device.store.results import PRODUCTS, SUFFIXES, is_count_id

PICTURES = ("overlay.jpg", "image.jpg", "thumbnail.jpg")
"""Products that show the image itself; they travel only where images are wanted."""
DRAWN = tuple(name for name in PRODUCTS if name not in PICTURES)
"""Products that every forwarded count has."""
ORIGINAL = "original"

_LONGEST_NAME = 60
_LARGEST = 2**53
"""What JavaScript can count to."""

Sha256 = dict[str, str]
"""sha256 (hex) of files by their names: one of PRODUCTS, or ORIGINAL."""


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """Who speaks.

    Attributes:
        id: 16 hex digits that the data folder got when it was made.
        name: for people.
        version: of its fluocount.
        waiting: results that it has not sent yet.
        problems: what its own Status page says.
    """

    id: str
    name: str
    version: str
    waiting: int = 0
    problems: tuple[str, ...] = ()


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to an instrument that says that it is there.

    Attributes:
        instrument: its id.
        stamp: the largest stamp that was received from it; less than it sent means that a backup was restored here.
    """

    instrument: str
    stamp: int


class ForwardedCount(msgspec.Struct, frozen=True, kw_only=True):
    """A finished count on its way; numbers of the result are in its file result.json.

    Attributes:
        id: at the instrument.
        stamp: rises with every sending of this instrument, whatever its clock or a restored backup says; of two
            messages about one count the larger one is right.
        revision: of the products at the instrument.
        files: what belongs to the count; the bytes come along only when they are asked for.
        version_of: the instrument's id of the first count of this image.
    """

    id: str
    stamp: int
    revision: int
    files: Sha256
    origin: Origin
    image: str
    image_sha256: str
    image_bytes: int
    suffix: str
    model: str
    settings: CountSettings
    capture: dict[str, Any] | None
    sample: str
    notes: str
    created_s: float
    boot_id: str
    boot_s: float
    clock_correction_s: float | None
    started_s: float | None
    finished_s: float | None
    conditions: dict[str, Any] | None
    relabels: tuple[Relabel, ...]
    needs: Needs | None
    version_of: str | None
    reviewed_by: str | None
    reviewed_s: float | None
    corrections: tuple[Correction, ...] = ()
    regions: tuple[Region, ...] = ()


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A count and who sends it."""

    instrument: Instrument
    count: ForwardedCount


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to a forwarded count.

    Attributes:
        id, stamp: of the message that is answered.
        status: `kept`: it is on the disk here; `known`: this or something newer came before, or it was deleted here;
            `send files`: send it again with all its files.
    """

    id: str
    stamp: int
    status: Literal["kept", "known", "send files"]


def image_stayed(instrument: str) -> NotFoundError:
    """What a person reads who asks for a picture that did not come along."""
    return NotFoundError(f"The image stayed on {instrument}; open this count there.")


def check_sender(sender: Instrument) -> None:
    """Raise for what is no instrument.

    Raises:
        InputError: the id or the name is not one.
    """
    if not is_count_id(sender.id) or not 0 < len(sender.name) <= _LONGEST_NAME:
        raise InputError(
            f"An instrument has an id of 16 hex digits and a name of 1 to {_LONGEST_NAME} characters, not "
            f"{sender.id[:40]!r} and {sender.name[:40]!r}."
        )


def check_count(count: ForwardedCount) -> None:
    """Raise for whatever must not become a path, a number of the database or the name of a file.

    Raises:
        InputError: it is no count of this version of fluocount.
    """
    usable = is_count_id(count.id) and count.suffix in (*SUFFIXES, "")
    usable &= 0 < count.stamp < _LARGEST and 0 < count.revision < _LARGEST
    named = set(count.files)
    if not usable or not named.issuperset(DRAWN) or not named <= {*PRODUCTS, ORIGINAL}:
        raise InputError("This is no count of a fluocount that this one knows; upgrade both.")


def check_files(count: ForwardedCount, files: Mapping[str, bytes]) -> CountResult:
    """The result, if every file is the one that was named, the result is of that image and its regions lie on it.

    Raises:
        InputError: it is not.
    """
    for name in {*count.files, *files}:
        data = files.get(name)
        if data is None or hashlib.sha256(data).hexdigest() != count.files.get(name):
            raise InputError(f"{name} of {count.image} came incomplete or damaged; send it again.")
    original = count.files.get(ORIGINAL, count.image_sha256)
    try:
        result = msgspec.json.decode(files["result.json"], type=CountResult)
    except DECODE_ERRORS as error:
        raise InputError(f"The result of {count.image} cannot be read ({error}).") from None
    if {original, result.image_sha256} != {count.image_sha256}:
        raise InputError(f"The result of {count.image} is of another image.")
    check_regions(count.image, count.regions, result.width, result.height)
    return result
