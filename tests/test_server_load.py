"""A server with many clients at once: nobody is turned away, nothing accepted is lost, memory stays as it was."""

import http.client
import json
import os
import secrets
import socket
import threading
from multiprocessing import get_context
from pathlib import Path

import pytest
import serving
from appliance import png, wait_for

from device.config import StorageSettings
from device.store import open_store

TESTS = Path(__file__).parent
CLIENTS, IMAGES = 12, 6
BOUNDARY = "frontier"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as held:
        return int(held.getsockname()[1])


class Server:
    """A process that is killed and started again."""

    def __init__(self, context, data_dir: Path, port: int) -> None:
        self._context, self._arguments = context, (data_dir, port)
        self.port = port
        self.start()

    def start(self) -> None:
        self.process = self._context.Process(target=serving.run, args=self._arguments)
        self.process.start()
        wait_for(self._answers, 240, "the server")

    def kill(self) -> None:
        self.process.kill()
        self.process.join()

    def memory_mb(self) -> float:
        """Resident memory of the page's process."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(text.split("VmRSS:")[1].split()[0]) / 1000

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS), str(TESTS.parent)]))
    context = get_context("forkserver")
    context.set_forkserver_preload(["serving"])
    made = Server(context, tmp_path, free_port())
    yield made
    made.kill()


def body(data: bytes) -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
    return head.encode() + data + f"\r\n--{BOUNDARY}--\r\n".encode()


class Client(threading.Thread):
    """Hands in its images one after the other; where no answer comes, again with the same key."""

    def __init__(self, port: int, number: int) -> None:
        super().__init__(daemon=True)
        self.port, self.number = port, number
        self.accepted: list[str] = []
        self.statuses: set[int] = set()

    def run(self) -> None:
        for image in range(IMAGES):
            data = png(cells=1 + image % 4, shade=255 - self.number)
            key = secrets.token_hex(8)
            while not self._hand_in(data, key):
                pass

    def _hand_in(self, data: bytes, key: str) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {
            "Content-Type": f"multipart/form-data; boundary={BOUNDARY}",
            "Idempotency-Key": key,
        }
        try:
            connection.request("POST", "/api/v1/counts", body(data), headers)
            answer = connection.getresponse()
            said = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError):
            return False  # the server is being killed or started
        finally:
            connection.close()
        self.statuses.add(answer.status)
        self.accepted.append(said["id"])
        return True


def load(server: Server) -> list[Client]:
    clients = [Client(server.port, number) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    return clients


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_many_clients_at_once_and_a_server_that_is_killed_meanwhile(server, tmp_path):
    store = open_store(StorageSettings(data_dir=str(tmp_path), warn_free_mb=1, refuse_free_mb=1))
    clients = load(server)
    wait_for(lambda: len(store.counts.search()) > CLIENTS, 240, "the first uploads")
    server.kill()
    server.start()
    for client in clients:
        client.join(240)
    assert set().union(*(client.statuses for client in clients)) == {202}
    accepted = [count_id for client in clients for count_id in client.accepted]
    assert len(set(accepted)) == len(accepted) == CLIENTS * IMAGES
    wait_for(lambda: done(store) == set(accepted), 400, "all counts")
    before_mb = server.memory_mb()
    for client in load(server):
        client.join(240)
    assert server.memory_mb() < before_mb + 60  # a second wave takes what the first one took


def done(store) -> set[str]:
    rows = store.counts.search()
    assert not [row.image for row in rows if row.status in ("failed", "cancelled")]
    return {row.id for row in rows if row.status == "done"}
