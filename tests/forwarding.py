"""Both ends of the forwarding, made to be run and killed as processes of their own."""

import threading
from pathlib import Path

import msgspec
from appliance import SlowSegmenter, make_settings, png, wait_for, with_storage

import device.forward
from device.config import CameraSettings, ForwardSettings, Settings
from device.jobs.intake import CountOptions
from device.service import Service
from device.store import CountRow, Edit
from device.web.server import make_server

LONGEST_PAUSE_S = 0.2
"""Between two tries to send."""


def hurry() -> None:
    """Pauses of a test instead of a lab."""
    for name, value in {
        "POLL": 0.05,
        "HELLO": 0.5,
        "FIRST_PAUSE": 0.02,
        "LONGEST_PAUSE": LONGEST_PAUSE_S,
    }.items():
        setattr(device.forward, f"_{name}_S", value)


def forwarding_settings(data_dir: Path, central: str, **forward: object) -> Settings:
    settings = make_settings(data_dir, camera=CameraSettings(kind="none"))
    return msgspec.structs.replace(settings, forward=ForwardSettings(url=central, **forward))


def make_pi(data_dir: Path, central: str, **forward: object) -> Service:
    hurry()
    settings = forwarding_settings(data_dir, central, **forward)
    return Service(settings, load_segmenter=lambda _: SlowSegmenter(0.0))


def count_image(pi: Service, number: int) -> CountRow:
    """The count of an image that is the same at every start."""
    counter = pi.require_counter()
    options = CountOptions(once_key=f"image {number}")
    data = png(cells=1 + number % 5, shade=255 - number)
    row = counter.intake.accept(data, f"{number}.png", "upload", options)
    wait_for(lambda: counter.store.counts.get(row.id).status == "done", 60)
    return counter.store.counts.get(row.id)


def touch(pi: Service, row: CountRow) -> None:
    """What a person does with every third and every fourth count; done twice it is the same."""
    store = pi.require_store()
    if row.sequence % 3 == 0 and not store.corrections.of(row.id):
        store.corrections.add(row.id, store.result(row.id), 5, 5, "a test")
    if row.sequence % 4 == 0:
        store.counts.edit(row.id, Edit(notes=f"notes of {row.image}"))


def run_central(data_dir: Path, port: int, refuse_free_mb: int) -> None:
    """Serve until killed; it takes nothing while less than `refuse_free_mb` is free."""
    settings = make_settings(data_dir, camera=CameraSettings(kind="none"), port=port)
    settings = with_storage(settings, refuse_free_mb=refuse_free_mb)
    service = Service(settings, load_segmenter=lambda _: SlowSegmenter(0.0))
    service.start()
    make_server(service).run()


def run_pi(data_dir: Path, central: str, images: int) -> None:
    """Count so many images, correct and name some of them, and send all until killed."""
    pi = make_pi(data_dir, central, name="pi", images=True)
    pi.start()
    for number in range(images):
        touch(pi, count_image(pi, number))
    threading.Event().wait()
