"""msgspec's records before threads use them."""

from collections.abc import Iterator
from contextlib import suppress

import msgspec

_ready: set[type[msgspec.Struct]] = set()


def prepare_records() -> None:
    """Let msgspec look at every record that is imported, while one thread alone runs.

    msgspec 0.22 fills its table of a record's fields at the first decoding, and shows it to other threads before it is
    whole: two threads that decode a new type at once end the process (docs/upstream/msgspec-threads.md).
    """
    for record in _records(msgspec.Struct):
        if record not in _ready:
            with suppress(TypeError):  # it holds arrays, and is never decoded
                msgspec.json.Decoder(record)
            _ready.add(record)


def find_unprepared() -> set[type[msgspec.Struct]]:
    """Records that were imported since."""
    return set(_records(msgspec.Struct)) - _ready


def _records(parent: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    for child in parent.__subclasses__():
        yield child
        yield from _records(child)
