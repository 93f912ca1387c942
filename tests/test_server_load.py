"""A server with many clients at once: nobody is turned away, nothing accepted is lost, memory stays as it was."""

import http.client
import json
import os
import secrets
import socket
import threading
from itertools import cycle
from multiprocessing import get_context
from pathlib import Path

import pytest
import serving
from appliance import png, wait_for

from device.config import StorageSettings
from device.store import open_store

TESTS = Path(__file__).parent
CLIENTS, IMAGES = 12, 6
KILLS, SOME = 2, 8
"""For two servers: each is killed once, after so many counts more; there is less to count."""
BOUNDARY = "frontier"
NOTE_FINISHED = """
DO $$ BEGIN
    CREATE TABLE finished (id TEXT);
    CREATE FUNCTION note_finished() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN INSERT INTO finished VALUES (NEW.id); RETURN NULL; END';
    CREATE TRIGGER counts_finished AFTER UPDATE ON counts FOR EACH ROW
        WHEN (NEW.status = 'done' AND OLD.status != 'done') EXECUTE FUNCTION note_finished();
END $$
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as held:
        return int(held.getsockname()[1])


class Server:
    """A process that is killed and started again."""

    def __init__(self, context, data_dir: Path, port: int, database: str | None = None) -> None:
        self._context, self._arguments = context, (data_dir, port, database)
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
def context(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS), str(TESTS.parent)]))
    made = get_context("forkserver")
    made.set_forkserver_preload(["serving"])
    return made


@pytest.fixture
def server(tmp_path, context):
    made = Server(context, tmp_path, free_port())
    yield made
    made.kill()


@pytest.fixture
def pair(tmp_path, context, postgres):
    """Two servers of one database, on one folder; every count that is finished is noted each time it is."""
    url = postgres.database_of(tmp_path)
    made = [Server(context, tmp_path, free_port(), url) for _ in range(2)]
    settings = StorageSettings(
        data_dir=str(tmp_path), database=url, warn_free_mb=1, refuse_free_mb=1
    )
    store = open_store(settings)
    store.database.connection().execute(NOTE_FINISHED)
    yield made, store
    store.close()
    for one in made:
        one.kill()


def body(data: bytes) -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
    return head.encode() + data + f"\r\n--{BOUNDARY}--\r\n".encode()


class Client(threading.Thread):
    """Hands in its images one after the other; where no answer comes, again with the same key."""

    def __init__(self, number: int, images: int, *ports: int) -> None:
        super().__init__(daemon=True)
        self._ports, self._images, self.number = cycle(ports), images, number
        self.accepted: list[str] = []
        self.statuses: set[int] = set()

    def run(self) -> None:
        for image in range(self._images):
            data = png(cells=1 + image % 4, shade=255 - self.number)
            key = secrets.token_hex(8)
            while not self._hand_in(data, key):
                pass

    def _hand_in(self, data: bytes, key: str) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", next(self._ports), timeout=60)
        headers = {
            "Content-Type": f"multipart/form-data; boundary={BOUNDARY}",
            "Idempotency-Key": key,
        }
        try:
            connection.request("POST", "/api/v1/counts", body(data), headers)
            answer = connection.getresponse()
            said = json.loads(answer.read())["id"]
        except (OSError, http.client.HTTPException, ValueError, KeyError):
            return False  # the server is being killed or started
        finally:
            connection.close()
        self.statuses.add(answer.status)
        self.accepted.append(said)
        return True


def load(*servers: Server, clients: int = CLIENTS, images: int = IMAGES) -> list[Client]:
    ports = [server.port for server in servers]
    made = [Client(number, images, *ports) for number in range(clients)]
    for client in made:
        client.start()
    return made


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


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_servers_that_share_a_database_and_are_killed_in_turns(pair):
    servers, store = pair
    number, images = CLIENTS // 2, IMAGES // 2 + 1
    clients = load(*servers, clients=number, images=images)
    for kill in range(KILLS):
        some = SOME * (kill + 1)
        wait_for(lambda some=some: len(done(store)) >= some, 120, "some counts")
        servers[kill % 2].kill()
        servers[kill % 2].start()
    for client in clients:
        client.join(120)
    accepted = [count_id for client in clients for count_id in client.accepted]
    assert len(set(accepted)) == len(accepted) == number * images
    wait_for(lambda: done(store) == set(accepted), 120, "all counts")
    finished = store.database.connection().execute("SELECT id FROM finished").fetchall()
    assert sorted(row["id"] for row in finished) == sorted(accepted)
    for client in clients:
        cells = [store.result(count_id).count for count_id in client.accepted]
        assert cells == [1 + image % 4 for image in range(images)]
