"""Hostile backups: damaged bytes, foreign names, sparse files, links, databases with paths and triggers.

Each must be refused with a sentence, or restore exactly what it holds; nothing may be written outside the data folder,
and never more than the archive itself holds.
"""

import io
import random
import sqlite3
import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from appliance import make_settings, png

from attacks.figures import Figures, Stopwatch
from device.errors import FluocountError
from device.store import NewCount, open_store
from device.store.backup import DATABASE_MEMBER, MANIFEST_NAME, write_backup
from device.store.restore import restore_backup

DEFAULT_SIZE = 5000

Members = dict[str, bytes]
_SPARSE_BYTES = 1_900_000_000


def attack(folder: Path, size: int) -> Figures:
    """`size` archives: every named trick once, the rest are random damage to a good archive."""
    figures = Figures()
    good = _good_archive(folder)
    chance = random.Random(size)
    for number, (name, data) in enumerate(_hostile(good, chance, size)):
        path = folder / "hostile.tar"
        path.write_bytes(data)
        new = folder / "new" / f"{number}" / "data"
        figures.tried += 1
        with Stopwatch(figures):
            outcome = _restore(path, new, figures, name)
        if name in TRICKS:
            figures.check(outcome == "refused", f"{name} was {outcome}")
        figures.check(_bytes_below(folder / "new") < 20_000_000, f"{name} wrote more than it holds")
        _remove(folder / "new")
    figures.check(
        {path.name for path in folder.iterdir()} <= {"data", "good.tar", "hostile.tar", "new"},
        "something was written outside the data folder",
    )
    return figures


def _restore(path: Path, new: Path, figures: Figures, name: str) -> str:
    try:
        done = restore_backup(path, new, None)
    except FluocountError:
        if new.exists():
            left = {file.name for file in new.iterdir()} - {"worker.lock"}
            figures.check(not left, f"{name} was refused and left {left}")
        return "refused"
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        figures.crashes += 1
        figures.check(False, f"{name}: {type(error).__name__}: {error}")
        return "crashed"
    store = open_store(make_settings(new).storage)
    figures.check(len(store.counts.search()) == done.manifest.counts, f"{name}: counts differ")
    store.close()
    return "restored"


def _good_archive(folder: Path) -> Members:
    store = open_store(make_settings(folder / "data").storage)
    for cells in (1, 2):
        store.counts.accept(
            NewCount(data=png(cells), image=f"{cells}.png", origin="upload", model="fast")
        )
    store.close()
    write_backup(folder / "good.tar", folder / "data", None)
    with tarfile.open(folder / "good.tar") as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}


def _hostile(good: Members, chance: random.Random, size: int) -> Iterator[tuple[str, bytes]]:
    for name, trick in TRICKS.items():
        yield name, trick(dict(good))
    whole = _tar(good)
    for number in range(size - len(TRICKS)):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 8)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        if number % 3 == 0:
            del data[chance.randrange(len(data)) :]
        yield f"random {number}", bytes(data)


def _tar(members: Members, extra: Callable[[tarfile.TarFile], None] | None = None) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        if extra is not None:
            extra(archive)
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def _without(name: str) -> Callable[[Members], bytes]:
    return lambda members: _tar({key: data for key, data in members.items() if key != name})


def _with_member(name: str, data: bytes = b"evil", **fields: object) -> Callable[[Members], bytes]:
    def extra(archive: tarfile.TarFile) -> None:
        member = tarfile.TarInfo(name)
        for field, value in {"size": len(data), **fields}.items():
            setattr(member, field, value)
        archive.addfile(member, io.BytesIO(data) if member.isreg() else None)

    return lambda members: _tar(members, extra)


def _sparse(members: Members) -> bytes:
    """A database of 1.9 GB in an archive of some kilobytes: GNU's old sparse format, one block and a huge hole."""
    header = bytearray(tarfile.TarInfo(DATABASE_MEMBER).tobuf(tarfile.GNU_FORMAT))
    header[156:157] = tarfile.GNUTYPE_SPARSE
    header[124:136] = b"%011o\0" % 512
    header[386:398], header[398:410] = b"%011o\0" % (_SPARSE_BYTES - 512), b"%011o\0" % 512
    header[483:495] = b"%011o\0" % _SPARSE_BYTES
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    del members[DATABASE_MEMBER]
    return bytes(header) + b"x" * 512 + _tar(members)


def _with_sql(*statements: str) -> Callable[[Members], bytes]:
    """The database after some statements of its author's choice."""

    def change(members: Members) -> bytes:
        connection = sqlite3.connect(":memory:")
        with closing(connection):
            connection.deserialize(_journal_off(members[DATABASE_MEMBER]))
            for statement in statements:
                connection.execute(statement)
            connection.commit()
            members[DATABASE_MEMBER] = connection.serialize()
        return _tar(members)

    return change


def _journal_off(database: bytes) -> bytes:
    """A database in memory cannot be in WAL mode: bytes 18 and 19 say which mode it is."""
    return database[:18] + b"\1\1" + database[20:]


def _with_manifest(data: bytes) -> Callable[[Members], bytes]:
    return lambda members: _tar({**members, MANIFEST_NAME: data})


def _huge_member(members: Members) -> bytes:
    """A header that speaks of bytes which are not there."""
    member = tarfile.TarInfo(f"data/results/{'0' * 16}/original.png")
    member.size = 1 << 40
    return member.tobuf(tarfile.GNU_FORMAT) + _tar(members)


_PATH = "../../x"
TRICKS: dict[str, Callable[[Members], bytes]] = {
    "no database": _without(DATABASE_MEMBER),
    "no manifest": _without(MANIFEST_NAME),
    "empty": lambda members: _tar({}),
    "sparse file of 1.9 GB": _sparse,
    "member of 1 TB": _huge_member,
    "name above the folder": _with_member("../evil"),
    "absolute name": _with_member("/nowhere/evil"),
    "id with dots": _with_member(f"data/results/{_PATH}/original.png"),
    "id too short": _with_member("data/results/ab/original.png"),
    "symbolic link": _with_member(
        f"data/results/{'0' * 16}/original.png", b"", type=tarfile.SYMTYPE, linkname="/x"
    ),
    "hard link": _with_member(
        f"data/results/{'0' * 16}/original.png", b"", type=tarfile.LNKTYPE, linkname="/x"
    ),
    "device": _with_member(DATABASE_MEMBER, b"", type=tarfile.CHRTYPE),
    "pipe": _with_member(DATABASE_MEMBER, b"", type=tarfile.FIFOTYPE),
    "row with a path as id": _with_sql(f"UPDATE counts SET id = '{_PATH}' WHERE sequence = 1"),
    "row with bytes as id": _with_sql("UPDATE counts SET id = x'2e2e' WHERE sequence = 1"),
    "suffix with a path": _with_sql(f"UPDATE counts SET suffix = '/{_PATH}'"),
    "revision with a path": _with_sql(f"UPDATE counts SET revision = '{_PATH}'"),
    "watched file above the folder": _with_sql(
        f"INSERT INTO watched VALUES ('/o', '{_PATH}', 1, 1, 'a', 'k', NULL, 'taken')"
    ),
    "settings that are no JSON": _with_sql("UPDATE counts SET settings = '{'"),
    "trigger": _with_sql("CREATE TRIGGER t AFTER UPDATE ON counts BEGIN DELETE FROM counts; END"),
    "view in place of a table": _with_sql("DROP TABLE tokens", "CREATE VIEW tokens AS SELECT 1"),
    "foreign table": _with_sql("CREATE TABLE extra (a)"),
    "empty database": _with_sql("DELETE FROM counts"),
    "other database": lambda members: _tar({**members, DATABASE_MEMBER: b""}),
    "manifest of 10 counts": _with_manifest(
        b'{"format":1,"version":"0","created_s":0,"counts":10,"results":true}'
    ),
    "manifest that is no JSON": _with_manifest(b"{"),
    "deeply nested manifest": _with_manifest(b"[" * 200_000),
    "large manifest": _with_manifest(b" " * 2_000_000),
}


def _bytes_below(folder: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


def _remove(folder: Path) -> None:
    """Only what this attack made itself, from below; never a link's target."""
    for path in sorted(folder.rglob("*"), key=lambda path: -len(path.parts)):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
