"""Checks of fluocount's own parts: settings, model, count, data, disk, camera, pins, page."""

import importlib.util
import os
import sqlite3
from contextlib import closing

from device.doctor import page
from device.doctor.verdict import Check, Patient, Verdict, failure, ok, warning
from device.errors import CameraBusyError, CameraError, StorageError, UnavailableError

_SEE = "See docs/camera.md; fluocount doctor --camera checks the camera in detail."
_SELF_COUNT_SEED = 7
_SELF_COUNT_TOLERANCE = 0.2


def check_settings(patient: Patient) -> Verdict:
    """The settings file."""
    if patient.settings_problem is not None:
        return failure(patient.settings_problem, "")
    return ok(str(patient.settings_path or "no settings file; the defaults are used"))


def check_model(patient: Patient) -> Verdict:
    """Model, card and hash."""
    from device.models.auto import card_of

    card = card_of(patient.settings.counting.model)
    return ok(f"{card.name} {card.version}, sha256 {card.sha256[:12]}... as its card says")


def check_count(patient: Patient) -> Verdict:
    """Count a synthetic frame whose number of cells is known."""
    from device.counting.pipeline import count_frame
    from device.counting.records import CountSettings
    from device.models.auto import open_model
    from device.synthetic import make_frame

    counting = patient.settings.counting
    segmenter = open_model(counting.model, counting.threads)
    truth = make_frame(_SELF_COUNT_SEED)
    result = count_frame(truth.frame, segmenter, CountSettings()).result
    found = f"{result.count} cells in a synthetic frame of {truth.count}"
    if abs(result.count - truth.count) > _SELF_COUNT_TOLERANCE * truth.count:
        return failure(
            found, "Install fluocount again; the model or the interpreter does not work here."
        )
    return ok(found)


def check_data(patient: Patient) -> Verdict:
    """The data folder and the database in it."""
    from device.store import DATABASE_NAME

    folder = patient.settings.data_dir
    if not folder.exists():
        return ok(f"{folder} does not exist yet; the first start creates it")
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return failure(
            f"{folder} cannot be written by this user",
            "Run sudo fluocount doctor, or check who owns the folder.",
        )
    if patient.settings.storage.database is not None:
        return _check_shared(patient)
    path = folder / DATABASE_NAME
    if not path.exists():
        return ok(f"{folder} is empty")
    damage, number = _inspect(str(path))
    if damage:
        return failure(
            f"{path} is damaged ({damage})", "Restore a backup with: sudo fluocount restore"
        )
    return ok(f"{folder}: {number} counts, database intact")


def _check_shared(patient: Patient) -> Verdict:
    """The PostgreSQL database answers, and is that of the data folder."""
    from device.store import open_store

    folder = patient.settings.data_dir
    try:
        with closing(open_store(patient.settings.storage)) as store:
            number = store.counts.number()
            return ok(f"{folder}: {number} counts; {store.database.name} answers")
    except UnavailableError as error:
        return failure(str(error), "Check that PostgreSQL runs and that this computer reaches it.")
    except StorageError as error:
        return failure(str(error), "")


def _inspect(path: str) -> tuple[str | None, int]:
    """(damage or None, number of counts) of a database, which is only read."""
    try:
        with closing(sqlite3.connect(path, timeout=30)) as connection:
            connection.execute("PRAGMA query_only = ON")
            verdict = connection.execute("PRAGMA quick_check").fetchone()[0]
            if verdict != "ok":
                return str(verdict), 0
            return None, int(connection.execute("SELECT count(*) FROM counts").fetchone()[0])
    except sqlite3.DatabaseError as error:
        return str(error), 0


def check_disk(patient: Patient) -> Verdict:
    """Free space for results."""
    from device.store.disk import disk_state

    folder = patient.settings.data_dir
    while not folder.exists():
        folder = folder.parent
    disk = disk_state(folder, patient.settings.storage)
    found = f"{disk.free_mb} of {disk.total_mb} MB free"
    todo = "Export and delete counts that are no longer needed, or use a larger card."
    if disk.level == "refuse":
        return failure(f"{found}; below {disk.refuse_free_mb} MB no images are accepted", todo)
    if disk.level == "warn":
        return warning(f"{found}, less than {disk.warn_free_mb} MB", todo)
    return ok(found)


def check_camera(patient: Patient) -> Verdict:
    """The camera opens, or the running service has it."""
    from device.camera import CameraControls, open_camera

    settings = patient.settings.camera
    camera = open_camera(settings)
    if camera.kind == "none":
        return ok("none set up; you can upload images and watch folders")
    controls = CameraControls(
        exposure_s=settings.exposure_s,
        gain=settings.gain,
        red_gain=settings.red_gain,
        blue_gain=settings.blue_gain,
    )
    try:
        with closing(camera):
            camera.open(controls)
            found = f"{camera.name} ({camera.kind})"
            return warning(f"{found}. {camera.remark}", _SEE) if camera.remark else ok(found)
    except CameraBusyError:
        return ok("in use by the running service; see the Status page")
    except CameraError as error:
        return warning(str(error), "You can still upload images and watch folders.")


def check_pins(patient: Patient) -> Verdict:
    """Button and status LED, where the settings have them."""
    if not patient.settings.button.enabled:
        return ok("none set up")
    chips = sorted((patient.root / "dev").glob("gpiochip*"))
    missing = [name for name in ("gpiozero", "lgpio") if importlib.util.find_spec(name) is None]
    if missing:
        return warning(
            f"{' and '.join(missing)} not installed",
            "Run the installer without --without-hardware.",
        )
    if not any(os.access(chip, os.R_OK | os.W_OK) for chip in chips):
        return warning(
            "this user cannot use any pins",
            "Run this on a Raspberry Pi as a user in the group gpio.",
        )
    return ok(f"button on GPIO {patient.settings.button.button_pin}")


def check_port(patient: Patient) -> Verdict:
    """The address of the page: answering, free, or used by another program."""
    return page.check(page.port(patient.root, patient.settings.web.port))


PART_CHECKS: dict[str, Check] = {
    "settings": check_settings,
    "model": check_model,
    "count": check_count,
    "data": check_data,
    "disk": check_disk,
    "camera": check_camera,
    "pins": check_pins,
    "page": check_port,
}
