"""The doors of the page: slow, half-open and uninvited connections, on real sockets."""

import contextlib
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from appliance import answering, make_service, png, wait_for

from device.web import connections, server

MB = 1_000_000


@contextlib.contextmanager
def page(folder, **web):
    service = make_service(folder, port=0, **web)
    with answering(service) as running:
        port = int(running.addresses[0].rpartition(":")[2])
        yield service, ("127.0.0.1", port)


def dial(address, source="127.0.0.1"):
    """A connection; every 127.x.y.z is an address of this machine."""
    return socket.create_connection(address, timeout=20, source_address=(source, 0))


def upload_head(length, *lines):
    head = ["POST /api/v1/counts HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {length}", *lines]
    head.append("Content-Type: multipart/form-data; boundary=b")
    return ("\r\n".join(head) + "\r\n\r\n").encode()


def answers(address, within_s=5.0):
    begin_s = time.monotonic()
    with dial(address, "127.7.7.7") as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert connection.makefile("rb").readline().startswith(b"HTTP/1.1 200")
    took_s = time.monotonic() - begin_s
    assert took_s < within_s
    return took_s


def is_closed(connection):
    connection.setblocking(False)
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


@pytest.mark.parametrize("addresses", [1, 8, 300])
def test_half_open_connections_do_not_stop_the_page(tmp_path, addresses):
    with page(tmp_path) as (_, address), contextlib.ExitStack() as held:
        opened = []
        for number in range(300):
            source = f"127.1.{number % addresses // 250}.{1 + number % addresses % 250}"
            opened.append(held.enter_context(dial(address, source)))
            opened[-1].sendall(b"GET / HTTP/1.1\r\nHost: ")
        answers(address)
        still_open = sum(not is_closed(connection) for connection in opened)
        assert still_open <= (
            connections.PER_ADDRESS if addresses == 1 else connections.MOST_CONNECTIONS
        )


def test_without_the_doors_the_same_attack_stops_the_page(tmp_path, monkeypatch):
    """The control: waitress alone, as it comes."""
    monkeypatch.setattr(server, "_protect", lambda *_: None)
    with page(tmp_path) as (_, address), contextlib.ExitStack() as held:
        for number in range(300):
            held.enter_context(dial(address, f"127.1.1.{1 + number % 8}")).sendall(
                b"GET / HTTP/1.1\r\n"
            )
        with dial(address, "127.7.7.7") as connection:
            connection.settimeout(1.0)
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            with pytest.raises(TimeoutError):
                connection.recv(1)


def test_one_address_cannot_take_the_place_of_another(tmp_path):
    with page(tmp_path) as (_, address), contextlib.ExitStack() as held:
        quiet = held.enter_context(dial(address, "127.2.2.2"))
        for _ in range(250):
            held.enter_context(dial(address, "127.3.3.3"))
        answers(address)
        assert not is_closed(quiet)


def test_headers_and_silence_have_deadlines(tmp_path, monkeypatch):
    monkeypatch.setattr(connections, "HEADERS_S", 0.5)
    with page(tmp_path) as (_, address), dial(address) as half, dial(address) as silent:
        half.sendall(b"GET / HTTP/1.1\r\n")
        for connection in (half, silent):
            wait_for(lambda connection=connection: is_closed(connection), 10)


def test_a_body_that_trickles_is_given_up_and_a_slow_one_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr(connections, "BODY_GRACE_S", 0.5)
    monkeypatch.setattr(connections, "BODY_BYTES_S", 1000)
    with page(tmp_path) as (service, address), dial(address) as trickle, dial(address) as slow:
        trickle.sendall(upload_head(100_000))
        body = form(png())
        slow.sendall(upload_head(len(body)))
        parts = [body[start : start + 400] for start in range(0, len(body), 400)]
        for part in parts:
            slow.sendall(part)
            time.sleep(min(0.1, 2.0 / len(parts)))
        assert slow.makefile("rb").readline().startswith(b"HTTP/1.1 202")
        wait_for(lambda: is_closed(trickle), 10)
        assert len(service.store.counts.search()) == 1


def form(image):
    head = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
    return head + image + b"\r\n--b--\r\n"


def refused_early(address, head, sent=0):
    """The answer to a request of which `sent` bytes of the body come at once and the rest never."""
    with dial(address) as connection:
        connection.sendall(head)
        with contextlib.suppress(OSError):
            connection.sendall(bytes(sent))
        return connection.makefile("rb").read().decode()


@pytest.mark.parametrize("sent", [0, 3 * MB])
def test_a_stranger_is_refused_before_the_body_is_taken(tmp_path, sent):
    with page(tmp_path, behind_proxy=True) as (_, address):
        answer = refused_early(address, upload_head(150 * MB), sent)
        assert answer.startswith("HTTP/1.1 401")
        assert "Log in or send an API token" in answer
        assert "Content-Security-Policy" in answer
        bad = upload_head(150 * MB, "Authorization: Bearer flc_forged")
        assert "This API token is not valid" in refused_early(address, bad, sent)


def test_a_token_lets_the_body_in(tmp_path):
    with page(tmp_path, behind_proxy=True) as (service, address):
        token = service.store.access.create_token("robot")
        answer = requests.post(
            f"http://127.0.0.1:{address[1]}/api/v1/counts",
            files={"image": ("a.png", png())},
            headers={"Authorization": f"Bearer {token}"},
            timeout=20,
        )
        assert answer.status_code == 202


def test_foreign_pages_and_large_or_endless_bodies_are_refused_by_their_headers(tmp_path):
    with page(tmp_path, max_upload_mb=1) as (_, address):
        foreign = refused_early(address, upload_head(1000, "Origin: http://evil.example"))
        assert foreign.startswith("HTTP/1.1 403")
        large = refused_early(address, upload_head(5 * MB))
        assert large.startswith("HTTP/1.1 413")
        assert "at most 1 MB" in large
        call = "POST /api/v1/exports HTTP/1.1\r\nHost: localhost\r\n"
        long = refused_early(address, f"{call}Content-Length: 300000\r\n\r\n".encode())
        assert "at most 200 kB" in long
        endless = refused_early(address, f"{call}Transfer-Encoding: chunked\r\n\r\n".encode())
        assert endless.startswith("HTTP/1.1 411")
        answers(address)


def test_nothing_is_taken_that_cannot_be_kept(tmp_path):
    with page(tmp_path) as (service, address):
        service.store.database.path.unlink()
        answer = refused_early(address, upload_head(50 * MB))
        assert answer.startswith("HTTP/1.1 507")
        assert "nothing is accepted" in answer


def test_many_announced_bodies_are_told_to_come_later(tmp_path):
    with page(tmp_path, max_upload_mb=1) as (_, address), contextlib.ExitStack() as held:
        for _ in range(5):
            held.enter_context(dial(address)).sendall(upload_head(MB))
        wait_for(lambda: "Too many uploads at once" in refused_early(address, upload_head(MB)), 10)


def test_an_expected_body_is_asked_for_or_refused(tmp_path):
    with page(tmp_path) as (_, address), dial(address) as connection:
        body = form(png())
        connection.sendall(upload_head(len(body), "Expect: 100-continue"))
        assert connection.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert connection.makefile("rb").readline().startswith(b"HTTP/1.1 202")
    with page(tmp_path / "lan", behind_proxy=True) as (_, address):
        answer = refused_early(address, upload_head(1000, "Expect: 100-continue"))
        assert answer.startswith("HTTP/1.1 401")


def test_slow_readers_hold_no_thread(tmp_path):
    with page(tmp_path, threads=2) as (service, address), contextlib.ExitStack() as held:
        service.start()
        large = png(shape=(3000, 4000)) + bytes(8 * MB)
        row = service.counter.intake.accept(large, "a.png", "upload")
        for _ in range(8):
            reader = held.enter_context(dial(address))
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            reader.sendall(
                f"GET /api/v1/counts/{row.id}/image HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
            )
        answers(address)


def test_a_hundred_uploads_at_once_are_all_taken(tmp_path):
    with page(tmp_path) as (service, address):

        def send(number):
            files = {"image": (f"{number}.png", png(number % 4, shade=100 + number))}
            url = f"http://127.0.0.1:{address[1]}/api/v1/counts"
            return requests.post(url, files=files, timeout=60).status_code

        with ThreadPoolExecutor(100) as pool:
            assert set(pool.map(send, range(100))) == {202}
        assert len(service.store.counts.search()) == 100
