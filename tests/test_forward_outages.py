"""A hundred outages of network, central, disk and Pi: at the end everything is there once."""

import os
import random
import socket
import threading
from contextlib import suppress
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path

import forwarding
import pytest
from appliance import wait_for

from device.config import StorageSettings
from device.store import Edit, open_store

TESTS = Path(__file__).parent
OUTAGES = 100
IMAGES = 40
ROOM, FULL = 1, 10**9
"""Free megabytes below which the central takes nothing."""


class BadNetwork:
    """Forwards connections to the central, and cuts each after so many bytes while it is bad."""

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.cut_after: int | None = None
        self.cuts = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._join, args=(near,), daemon=True).start()

    def _join(self, near: socket.socket) -> None:
        try:
            far = socket.create_connection(("127.0.0.1", self.target_port), timeout=5)
        except OSError:
            near.close()
            return
        for one, other in ((near, far), (far, near)):
            threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        carried = 0
        try:
            while block := source.recv(4096):
                carried += len(block)
                if self.cut_after is not None and carried > self.cut_after:
                    self.cuts += 1
                    break
                target.sendall(block)
        except OSError:
            pass
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(
                    socket.SHUT_RDWR
                )  # close alone would not wake the thread that reads it
            end.close()

    def close(self) -> None:
        self._listener.close()


class Child:
    """A process that is killed and started again; its last argument may change."""

    def __init__(self, context, target, *arguments) -> None:
        self._make = partial(context.Process, target=target, daemon=True)
        self._arguments = arguments
        self._process = None

    def start(self, last: int) -> None:
        self._process = self._make(args=(*self._arguments, last))
        self._process.start()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()

    def restart(self, last: int) -> None:
        self.kill()
        self.start(last)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as held:
        return int(held.getsockname()[1])


@cache
def store_of(folder: Path):
    wait_for(lambda: (folder / "results").is_dir(), 200, "the data folder")
    return open_store(StorageSettings(data_dir=str(folder), warn_free_mb=1, refuse_free_mb=1))


@pytest.fixture
def children(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS), str(TESTS.parent)]))
    context = get_context("forkserver")
    context.set_forkserver_preload(["forwarding"])  # imported once, however often they are killed
    port = free_port()
    network = BadNetwork(port)
    address = f"http://127.0.0.1:{network.port}"
    central = Child(context, forwarding.run_central, tmp_path / "central", port)
    pi = Child(context, forwarding.run_pi, tmp_path / "pi", address)
    try:
        central.start(ROOM)
        pi.start(IMAGES)
        yield network, central, pi
    finally:
        pi.kill()
        central.kill()
        network.close()


def state(folder: Path) -> dict[str, tuple[int, int, str]]:
    """(count, corrected count, notes) of the done counts by the digest of their images."""
    done = [row for row in store_of(folder).counts.search() if row.status == "done"]
    found = {row.image_sha256: (row.count, row.corrected_count, row.notes) for row in done}
    assert len(found) == len(done), "a count is there twice"
    return found


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_nothing_is_lost_or_doubled_through_a_hundred_outages(children, tmp_path):
    network, central, pi = children
    rng = random.Random(1)
    kinds = ["cut"] * 82 + ["pi"] * 9 + ["central"] * 6 + ["full"] * 3
    rng.shuffle(kinds)
    assert len(kinds) == OUTAGES
    for kind in kinds:
        if kind == "cut":
            cut_something(network, rng)
        elif kind == "pi":
            pi.restart(IMAGES)
        else:
            central.restart(FULL if kind == "full" else ROOM)
        edit_something(tmp_path, rng)
    central.restart(ROOM)
    wait_for(lambda: len(state(tmp_path / "pi")) == IMAGES, 300, "counting")
    wait_for(lambda: state(tmp_path / "central") == state(tmp_path / "pi"), 300, "arrival")
    there = store_of(tmp_path / "central")
    rows = there.counts.search()
    assert {row.instrument for row in rows} == {"pi"}
    for row in rows:
        assert there.counts.original_path(row).is_file()
        assert there.result(row.id).count == row.count


def cut_something(network: BadNetwork, rng: random.Random) -> None:
    """In the first words, in the middle of a file, or in the answer; if nothing so long comes, the next word."""
    before = network.cuts
    network.cut_after = rng.choice([0, 0, 500, 2000, 5000, 15_000])
    with suppress(AssertionError):
        wait_for(lambda: network.cuts > before, 5 * forwarding.LONGEST_PAUSE_S)
    if network.cuts == before:
        network.cut_after = 0
        wait_for(lambda: network.cuts > before, 120, "traffic")
    network.cut_after = None


def edit_something(tmp_path: Path, rng: random.Random) -> None:
    """A person works on: so that there is always something to send."""
    store = store_of(tmp_path / "pi")
    done = [row for row in store.counts.search() if row.status == "done"]
    if done:
        store.counts.edit(rng.choice(done).id, Edit(notes=f"{rng.random()}"))
