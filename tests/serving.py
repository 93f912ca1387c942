"""A server with counting processes, made to be run and killed as a process of its own."""

from pathlib import Path

import msgspec
from appliance import make_settings
from troubled import BeginFake

from device.config import CameraSettings, ServerSettings
from device.jobs import counter
from device.jobs.crew import Crew
from device.service import Service
from device.store import leases
from device.web.server import make_server


def run(data_dir: Path, port: int, database: str | None = None) -> None:
    """Serve until killed; brightness is the model. With a database, a silent server is soon taken for dead."""
    workers = 2 if database is None else 1  # each takes seconds to start
    leases.LEASE_S, leases._BEAT_S = 4.0, 0.4
    settings = make_settings(data_dir, camera=CameraSettings(kind="none"), port=port)
    storage = msgspec.structs.replace(settings.storage, max_queue=10_000, database=database)
    settings = msgspec.structs.replace(
        settings, server=ServerSettings(workers=workers), storage=storage
    )
    counter.Crew = lambda store, counting, processes: Crew(
        store, counting, processes, BeginFake(storage)
    )
    service = Service(settings)
    service.start()
    make_server(service).run()
