"""Do captures stay quick while many people watch the preview?

PYTHONPATH=. python tests/preview_load.py [--clients 20] [--rate 5] [--captures 10]

Starts the page with the simulated camera at full size in a process of its own, times captures (from the
request to the answer that the picture is safe on the disk) first alone, then while the clients each
ask for the preview `rate` times a second. Exit status 1 when the loaded median is more than twice
the idle one.
"""

import multiprocessing
import socket
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

import click
import requests
from appliance import make_service, wait_for

from device.config import CameraSettings


def serve(data_dir: Path, port: int, exposure_s: float) -> None:
    from device.machine.log import set_up_logging
    from device.web.server import make_server

    set_up_logging()
    camera = CameraSettings(kind="simulated", exposure_s=exposure_s)
    service = make_service(data_dir, port=port, camera=camera)
    service.start()
    make_server(service).run()


class Watcher(threading.Thread):
    """One browser: asks for the next picture when the last has arrived, at most `rate` a second."""

    def __init__(self, address: str, rate: float, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.address, self.period_s, self.stop = address, 1 / rate, stop
        self.pictures = 0

    def run(self) -> None:
        with requests.Session() as session:
            while not self.stop.is_set():
                begin_s = time.monotonic()
                if session.get(f"{self.address}/camera/preview.jpg", timeout=30).ok:
                    self.pictures += 1
                self.stop.wait(max(0.0, begin_s + self.period_s - time.monotonic()))


def capture_times(address: str, captures: int) -> list[float]:
    times = []
    for _ in range(captures):
        begin_s = time.monotonic()
        answer = requests.post(f"{address}/captures", json={}, timeout=60)
        times.append(time.monotonic() - begin_s)
        assert answer.status_code == 202, answer.text
        wait_for(lambda: quiet(address), 120, "the end of the queue")
    return times


def quiet(address: str) -> bool:
    status = requests.get(f"{address}/status", timeout=30).json()
    return status["queue"]["waiting"] == status["queue"]["running"] == 0


def is_ready(address: str) -> bool:
    try:
        return requests.get(f"{address}/camera", timeout=30).json()["state"] == "ready"
    except requests.ConnectionError:
        return False


@click.command()
@click.option("--clients", default=20)
@click.option("--rate", default=5.0, help="Pictures a second that each asks for.")
@click.option("--captures", default=10)
@click.option("--exposure", default=0.1, help="Exposure in seconds.")
def main(clients: int, rate: float, captures: int, exposure: float) -> None:
    """Compare capture times with and without viewers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}/api/v1"
    with tempfile.TemporaryDirectory() as folder:
        server = multiprocessing.Process(target=serve, args=(Path(folder), port, exposure))
        server.start()
        try:
            wait_for(lambda: is_ready(address), 120, "the camera")
            sys.exit(compare(address, clients, rate, captures))
        finally:
            server.kill()
            server.join()


def compare(address: str, clients: int, rate: float, captures: int) -> int:
    capture_times(address, 2)  # warm
    idle_s = capture_times(address, captures)
    stop = threading.Event()
    watchers = [Watcher(address, rate, stop) for _ in range(clients)]
    for watcher in watchers:
        watcher.start()
    time.sleep(2)
    begin_s, before = time.monotonic(), sum(watcher.pictures for watcher in watchers)
    loaded_s = capture_times(address, captures)
    pictures = sum(watcher.pictures for watcher in watchers) - before
    each = pictures / (time.monotonic() - begin_s) / clients
    stop.set()
    idle, loaded = statistics.median(idle_s), statistics.median(loaded_s)
    click.echo(f"{clients} viewers got {each:.1f} pictures/s each")
    click.echo(f"capture, median of {captures}: idle {idle:.2f} s, watched {loaded:.2f} s")
    click.echo(f"slowest: idle {max(idle_s):.2f} s, watched {max(loaded_s):.2f} s")
    click.echo(f"watched / idle = {loaded / idle:.2f} (at most 2 is wanted)")
    return 0 if loaded <= 2 * idle else 1


if __name__ == "__main__":
    main()
