"""What a release file contains, read without unpacking it."""

import lzma
import re
import tarfile
import tomllib
import zipfile
import zlib
from pathlib import PurePosixPath
from typing import IO

import msgspec

from device import __version__
from device.errors import InputError

_WANTED = ("pyproject.toml", "CHANGELOG.md")
_LARGEST = 1_000_000
_MOST_BYTES = 2_000_000_000
_MOST_CHANGES_CHARS = 20_000
_DAMAGED = (
    TypeError,
    ValueError,
    OSError,
    EOFError,
    RuntimeError,  # encrypted; a compression that Python does not know; TOML too deep to be read
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)
_VERSION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9}){0,5})(?:\.?(dev|a|b|rc|post)([0-9]{1,9}))?")
_STAGES = ("dev", "a", "b", "rc", "", "post")
"""In their order: 0.1.0rc1 comes before 0.1.0."""
_EXPECTED = "expected a release of fluocount (.tar.gz or .zip)"


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """A release beside what is installed.

    Attributes:
        version: of the file. installed: of this program.
        newer: True if the file is newer.
        changes: what its changelog says about the version, Markdown.
        text: one sentence: what to do.
    """

    version: str
    installed: str
    newer: bool
    changes: str
    text: str


def read_release(stream: IO[bytes], name: str) -> Release:
    """Look into a release file.

    Args:
        stream: seekable, at its beginning.
        name: for the sentence.

    Raises:
        InputError: no release of fluocount.
    """
    start = stream.read(4)
    stream.seek(0)
    try:
        read = _of_zip if start[:2] == b"PK" else _of_tar
        found = read(stream)
        project = tomllib.loads(found.get("pyproject.toml", b"").decode())["project"]
        if project["name"] != "fluocount":
            raise InputError(f"{name} is a release of {project['name']!r}; {_EXPECTED}.")
        version = str(project["version"])
        newer = _key(version) > _key(__version__)
    except KeyError:
        raise InputError(f"{name} has no description of a release; {_EXPECTED}.") from None
    except _DAMAGED as error:
        raise InputError(f"{name} cannot be used ({error}); {_EXPECTED}.") from None
    changes = _section(found.get("CHANGELOG.md", b"").decode(errors="replace"), version)
    return Release(
        version=version,
        installed=__version__,
        newer=newer,
        changes=changes,
        text=_advice(version, newer),
    )


def _advice(version: str, newer: bool) -> str:
    if newer:
        return (
            f"Version {version} is newer than {__version__}, which is installed. Copy the file to the instrument, "
            "unpack it and run there: sudo ./systemd/install.sh --upgrade"
        )
    known = (
        "is installed already"
        if version == __version__
        else f"is older than {__version__}, which is installed"
    )
    return f"Version {version} {known}; there is nothing to do."


def _of_zip(stream: IO[bytes]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    with zipfile.ZipFile(stream) as archive:
        for entry in archive.infolist():
            name = _wanted(entry.filename)
            if name is not None and entry.file_size <= _LARGEST:
                found[name] = archive.read(entry)
    return found


def _of_tar(stream: IO[bytes]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    left = _MOST_BYTES
    with tarfile.open(fileobj=stream, mode="r:*") as archive:
        for member in archive:
            left -= member.size
            if left < 0:
                raise ValueError("it unpacks to more than any release")
            name = _wanted(member.name)
            if name is not None and member.isreg() and member.size <= _LARGEST:
                source = archive.extractfile(member)
                found[name] = b"" if source is None else source.read()
            if len(found) == len(_WANTED):
                break
    return found


def _wanted(path: str) -> str | None:
    """The name of a file that is read: at the top, or in the one folder that a release unpacks to."""
    parts = PurePosixPath(path).parts
    return parts[-1] if 0 < len(parts) <= 2 and parts[-1] in _WANTED else None


def _key(version: str) -> tuple[tuple[int, ...], int, int]:
    """Numbers in their order: 0.10.0 is newer than 0.9.1.

    Raises:
        ValueError: no version number.
    """
    found = _VERSION.fullmatch(version)
    if found is None:
        raise ValueError(f"its version {version[:20]!r} is not like 0.1.0")
    numbers = tuple(int(number) for number in found[1].split("."))
    return numbers, _STAGES.index(found[2] or ""), int(found[3] or 0)


def _section(changelog: str, version: str) -> str:
    """What the changelog says about a version."""
    parts = re.split(r"^## ", changelog, flags=re.MULTILINE)
    section = next((part for part in parts if part.startswith(f"[{version}]")), "")
    return section.partition("\n")[2].strip()[:_MOST_CHANGES_CHARS]
