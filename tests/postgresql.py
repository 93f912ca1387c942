"""A real PostgreSQL of Debian's packages, started for the tests in a temporary folder, without a network."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import pytest

_NOBODY = 65534
"""PostgreSQL refuses to run as root."""


@cache
def programs() -> Path | None:
    """The folder of initdb and pg_ctl; None where PostgreSQL is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    beside = shutil.which("initdb")
    return Path(beside).parent if beside else None


class Postgres:
    """A server with a schema of its own for each data folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._made: dict[str, str] = {}

    def run(self, program: str, *arguments: str) -> str:
        """What a program of PostgreSQL says."""
        user = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []} if os.getuid() == 0 else {}
        command = [str(programs() / program), *arguments]
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, cwd=self.folder, timeout=120, **user
        )  # fmt: skip
        return done.stdout

    def start(self) -> None:
        fast = "-c fsync=off -c full_page_writes=off -c shared_buffers=32MB -c max_connections=200"
        where = f"-k {self.folder} -c listen_addresses='' {fast}"
        self.run("pg_ctl", "-D", "data", "-o", where, "-l", "log", "-w", "start")

    def stop(self, mode: str = "immediate") -> None:
        self.run("pg_ctl", "-D", "data", "-m", mode, "-w", "stop")

    def url(self, schema: str = "public") -> str:
        return f"postgresql://owner:s3cret@/postgres?host={self.folder}&options=-csearch_path%3D{schema}"

    def database_of(self, data_dir: Path) -> str:
        """The address of what stands for the database of a data folder: a schema, which is made sooner."""
        key = str(Path(data_dir).expanduser().absolute())
        if key not in self._made:
            self._made[key] = self.url(f"d{len(self._made)}")
            self.command(f"CREATE SCHEMA d{len(self._made) - 1}")
        return self._made[key]

    def command(self, sql: str) -> None:
        import psycopg

        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(sql)


@contextmanager
def running() -> Iterator[Postgres]:
    """A server that is there until the end of the block."""
    folder = Path(
        tempfile.mkdtemp(prefix="pg-", dir="/tmp")
    )  # a socket's path is at most 107 characters long
    server = Postgres(folder)
    try:
        if os.getuid() == 0:
            os.chown(folder, _NOBODY, _NOBODY)
        server.run(
            "initdb", "-D", "data", "-U", "owner", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"
        )
        server.start()
        yield server
    finally:
        with suppress(subprocess.CalledProcessError):  # a test has stopped it
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def running_or_skipped() -> Iterator[Postgres]:
    """`running`; the test is skipped where PostgreSQL or its driver is not installed."""
    pytest.importorskip("psycopg", reason="no psycopg; pip install 'fluocount[postgres]'")
    if programs() is None:
        pytest.skip("no PostgreSQL on this computer; apt install postgresql")
    with running() as server:
        yield server
