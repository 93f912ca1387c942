"""`fluocount serve`: the page, the API, the camera, the button and the watched folders."""

import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from device.config import ServerSettings, Settings, default_settings_path, load_settings
from device.errors import SettingsError, StorageError, UnavailableError

if TYPE_CHECKING:
    from device.service import Service


@click.command("serve")
@click.option("--camera", type=click.Choice(["auto", "pi", "simulated", "none"]))
@click.option("--data-dir", type=click.Path(path_type=Path), help="Where results are stored.")
@click.option("--host", help="Address to listen on; any other than 127.0.0.1 requires a login.")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 for any free port."
)
@click.option("--model", help="Name of a shipped model or path of a .tflite.")
@click.option(
    "--server",
    is_flag=True,
    help="For a computer with many cores and no camera: a process per core, metrics, a log in JSON.",
)
@click.option("--config", type=click.Path(path_type=Path), help="Settings file (TOML).")
def command(config: Path | None, server: bool, **chosen: Any) -> None:
    """Start the page; Ctrl-C stops it."""
    from device.machine.crashes import FILE_NAME, CrashCount
    from device.machine.log import set_up_logging
    from device.service import Service
    from device.web.restarting import RESTART_STATUS, begin_anew, restart_was_asked

    settings, problem = _settings(config or default_settings_path())
    settings = _with_options(_as_server(settings) if server else settings, chosen)
    set_up_logging(settings.server.json_log)
    crashes = CrashCount(settings.data_dir / FILE_NAME)
    service = Service(settings, settings_problem=problem, crashes=crashes.begin())
    signal.signal(signal.SIGTERM, _interrupt)
    crashes.forget_later()
    service.start()
    came = _await_database(service)
    try:
        _serve(service)
    except KeyboardInterrupt:
        click.echo("stopping")
    finally:
        service.stop()
        crashes.forget()
    if restart_was_asked():
        sys.exit(RESTART_STATUS)
    if service.waits and came.is_set():
        begin_anew()


_DATABASE_POLL_S = 5.0
"""A person who starts a database looks at the page after some seconds."""


def _await_database(service: "Service") -> threading.Event:
    """Where the database did not answer at the start, begin anew once it does; until then the page says so."""
    from device.store import open_store

    came = threading.Event()

    def look() -> None:
        while not came.wait(_DATABASE_POLL_S):
            try:
                open_store(service.settings.storage).close()
            except UnavailableError:
                continue
            except StorageError as error:
                click.echo(f"fluocount: {error}", err=True)
            came.set()
            os.kill(os.getpid(), signal.SIGTERM)

    if service.waits:
        threading.Thread(target=look, name="database", daemon=True).start()
    return came


def _settings(path: Path | None) -> tuple[Settings, str | None]:
    """The settings, or the defaults and what is wrong with the file, because the page must start."""
    try:
        return load_settings(path), None
    except SettingsError as error:
        click.echo(f"fluocount: {error}", err=True)
        return Settings(), str(error)


_SERVER_QUEUE = 10_000
"""Images that may wait. Each lies on the disk, whose limit holds as well; fifty people hand in a folder each."""


def _as_server(settings: Settings) -> Settings:
    """Whatever the file does not say otherwise: no camera, no button, a process per core."""
    from device.machine.cores import share_cores

    workers = settings.server.workers or share_cores(sys.maxsize, sys.maxsize)[0]
    longest = max(settings.storage.max_queue, _SERVER_QUEUE)
    return msgspec.structs.replace(
        settings,
        storage=msgspec.structs.replace(settings.storage, max_queue=longest),
        camera=msgspec.structs.replace(settings.camera, kind="none"),
        button=msgspec.structs.replace(settings.button, enabled=False),
        server=ServerSettings(workers=workers, metrics=True, json_log=True),
    )


def _with_options(settings: Settings, chosen: dict[str, Any]) -> Settings:
    """Command-line options override the file."""
    places = {
        "camera": ("camera", "kind"),
        "data_dir": ("storage", "data_dir"),
        "host": ("web", "host"),
        "port": ("web", "port"),
        "model": ("counting", "model"),
    }
    for option, (section, field) in places.items():
        value = chosen[option]
        if value is not None:
            value = str(value) if isinstance(value, Path) else value
            changed = msgspec.structs.replace(getattr(settings, section), **{field: value})
            settings = msgspec.structs.replace(settings, **{section: changed})
    return settings


def _serve(service: "Service") -> None:
    from device.machine.notify import Watchdog, inherited_sockets, notify
    from device.web import server

    inherited = inherited_sockets()
    running = server.make_server(service, inherited)
    _announce(service, running.addresses, bool(inherited))
    watchdog = Watchdog(service.silent_s)
    notify("READY=1")
    watchdog.start()
    try:
        running.run()
    finally:
        notify("STOPPING=1")
        watchdog.stop()
        running.close()


def _announce(service: "Service", addresses: list[str], inherited: bool) -> None:
    """Log the address, and the set-up code until a password is set."""
    from device.web.login import setup_code

    for address in addresses:
        click.echo(f"fluocount answers at {address}")
    if service.needs_login(inherited) and service.store is not None:
        try:
            code = setup_code(service.store)
        except (
            StorageError,
            OSError,
        ) as error:  # a read-only disk: the page must come up to say so
            click.echo(f"no set-up code could be written: {error}", err=True)
            code = None
        if code is not None:
            click.echo(f"set-up code: {code}")
    for problem in service.problems:
        click.echo(f"problem ({problem.code}): {problem.text}", err=True)


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt
