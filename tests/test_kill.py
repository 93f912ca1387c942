"""kill -9 at random moments during uploads and captures: nothing accepted is lost or counted twice."""

import contextlib
import functools
import multiprocessing
import os
import random
import socket
import sqlite3
import threading
import time
from pathlib import Path

import pytest
import requests
from appliance import png, run, wait_for

from device.config import StorageSettings
from device.store import DATABASE_NAME, open_store

API = "/api/v1"
HERE = Path(__file__).parent


class Appliance:
    """A real process that is started again after each kill."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}{API}"
        self.process = None
        # A fork server has everything imported already: a start costs milliseconds, not seconds.
        os.environ["PYTHONPATH"] = os.pathsep.join(map(str, (HERE, HERE.parent)))
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["appliance", "device.web.server"])

    def start(self) -> None:
        arguments = (self.data_dir, self.port, 0.05)
        self.process = self._context.Process(target=run, args=arguments)
        self.process.start()

    def wait_until_up(self) -> None:
        wait_for(self._is_up, 120, "the start")

    def kill(self) -> None:
        self.process.kill()
        self.process.join()

    def done(self) -> int:
        """Number of done counts, read from the database itself."""
        path = self.data_dir / DATABASE_NAME
        with contextlib.closing(sqlite3.connect(path, timeout=10)) as connection:
            return connection.execute(
                "SELECT COUNT(*) FROM counts WHERE status = 'done'"
            ).fetchone()[0]

    def has_done_more(self, before: int) -> bool:
        return self.done() > before

    def _is_up(self) -> bool:
        if not self.process.is_alive():
            raise AssertionError("the appliance ended by itself; see its log above")
        try:
            return requests.get(f"{self.address}/status", timeout=20).ok
        except requests.RequestException:
            return False


class Clients:
    """One client uploads, one captures; both remember what was accepted."""

    def __init__(self, address: str, most: int) -> None:
        self.address, self.most = address, most
        self.accepted: list[str] = []
        self.sent: dict[str, str | None] = {}
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._repeat, args=(work,)) for work in (self.upload, self.snap)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def upload(self) -> None:
        if len(self.sent) < self.most:
            key = f"upload-{len(self.sent)}"
            self.sent[key] = None
            self.send(key)
        time.sleep(0.1)

    def send(self, key: str) -> None:
        number = int(key.split("-")[1])
        answer = requests.post(
            f"{self.address}/counts",
            files={"image": (f"{key}.png", png(number % 4, shade=200 + number % 50))},
            headers={"Idempotency-Key": key},
            timeout=10,
        )
        if answer.status_code == 202:
            self.sent[key] = answer.json()["id"]

    def snap(self) -> None:
        answer = requests.post(f"{self.address}/captures", json={"sample": "kill"}, timeout=10)
        if answer.status_code == 202:
            self.accepted.append(answer.json()["id"])
        time.sleep(0.1)

    def _repeat(self, work) -> None:
        while not self._stop.is_set():
            try:
                work()
            except requests.RequestException:
                time.sleep(0.05)


def kill_often(data_dir: Path, kills: int, seed: int) -> None:
    chance = random.Random(seed)
    appliance = Appliance(data_dir)
    appliance.start()
    clients = Clients(appliance.address, kills)
    try:
        for number in range(kills):
            if number % 4:  # else perhaps before it is up
                appliance.wait_until_up()
            if number % 2:  # three deaths in a row at the same image would rightly fail it
                before = appliance.done()
                wait_for(functools.partial(appliance.has_done_more, before), 120, "a count")
            time.sleep(chance.uniform(0.0, 0.5))
            appliance.kill()
            assert integrity(data_dir) == "ok"
            appliance.start()
        appliance.wait_until_up()
        clients.stop()
        for key, count_id in clients.sent.items():
            if count_id is None:  # no answer came: the client sends again
                clients.send(key)
        ids = [*clients.accepted, *clients.sent.values()]
        assert len(ids) >= kills / 4, "too little was accepted for the test to mean anything"
        wait_for(lambda: nothing_waits(appliance), 600, "the end of the queue")
    finally:
        clients.stop()
        appliance.kill()
    check_everything(data_dir, ids)


def nothing_waits(appliance: Appliance) -> bool:
    queue = requests.get(f"{appliance.address}/status", timeout=60).json()["queue"]
    return queue["waiting"] == queue["running"] == 0


def integrity(data_dir: Path) -> str:
    if not (data_dir / DATABASE_NAME).exists():
        return "ok"
    with contextlib.closing(sqlite3.connect(data_dir / DATABASE_NAME, timeout=10)) as connection:
        return connection.execute("PRAGMA integrity_check").fetchone()[0]


def check_everything(data_dir: Path, ids: list[str]) -> None:
    store = open_store(StorageSettings(data_dir=str(data_dir)))
    rows = {row.id: row for row in store.counts.search()}
    assert store.database.check() == []
    assert len(ids) == len(set(ids))
    assert set(ids) <= set(rows), "an accepted count is lost"
    assert {row.status for row in rows.values()} == {"done"}
    for row in rows.values():
        revisions = [path.name for path in store.folders.folder(row.id).iterdir() if path.is_dir()]
        assert revisions == ["1"], "done exactly once"
        result = store.result(row.id)
        assert (result.image_sha256, result.count) == (row.image_sha256, row.count)
        if row.origin == "upload":
            assert row.count == int(row.image.split("-")[1].split(".")[0]) % 4
    keys = [row.once_key for row in rows.values() if row.once_key]
    assert len(keys) == len(set(keys))
    store.close()


@pytest.mark.timeout(280)
def test_twenty_kills_lose_and_repeat_nothing(tmp_path):
    """More of them with the real command: `python tests/attacks kill 200`."""
    kill_often(tmp_path, 20, seed=20)
