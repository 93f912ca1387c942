"""Keeping the instrument well: settings, backup, update, self-check, restart; for administrators alone."""

import threading
import time
from typing import Any

from apiflask import APIBlueprint
from flask import Response

from device.config import default_settings_path
from device.doctor import Patient
from device.doctor.apart import examine_apart
from device.errors import BusyError
from device.store.backup import backup_parts
from device.web.access import require_administrator
from device.web.admin_inputs import BackupQuery, ReleaseForm
from device.web.admin_records import DoctorReport, Restarting, SettingsList
from device.web.api.answers import BINARY, answers, json, ref
from device.web.api.downloads import download_in_turn
from device.web.current import service
from device.web.explained import explain_settings
from device.web.release import read_release
from device.web.restarting import restart

upkeep = APIBlueprint("upkeep", __name__, url_prefix="/api/v1")
upkeep.before_request(require_administrator)  # of every view, also of those to come
_examining = threading.Lock()
_one_backup = threading.BoundedSemaphore(1)


@upkeep.get("/settings")
@answers(upkeep, ref("SettingsList"))
def settings() -> Response:
    """Every setting with its value, its default and what it means."""
    path = default_settings_path()
    found = explain_settings(service().settings)
    return json(SettingsList(settings=found, file=None if path is None else str(path)))


@upkeep.get("/backup.tar")
@upkeep.input(BackupQuery, location="query", arg_name="query", unknown="raise")
@answers(upkeep, BINARY, 503, media="application/x-tar")
def backup(query: dict[str, Any]) -> Response:
    """Settings, database, images and results in one file for `fluocount restore`, sent while it is made."""
    store = service().require_store()
    parts = backup_parts(store.data_dir, default_settings_path(), results=query["results"])
    name = time.strftime("fluocount-%Y-%m-%d-%H%M.tar")
    busy = "A backup is being made already; try again when it is done."
    return download_in_turn(parts, "application/x-tar", name, _one_backup, busy)


@upkeep.post("/update-check")
@upkeep.input(ReleaseForm, location="files", arg_name="form")
@answers(upkeep, ref("Release"))
def check_update(form: dict[str, Any]) -> Response:
    """What a release file contains: its version beside the installed one, and what changed; installs nothing."""
    sent = form["release"]
    return json(read_release(sent.stream, sent.filename or "The file"))


@upkeep.post("/doctor")
@answers(upkeep, ref("DoctorReport"), 503)
def doctor() -> Response:
    """Run the self-check, which counts a synthetic image; takes up to a minute on a Raspberry Pi."""
    if not _examining.acquire(blocking=False):
        raise BusyError("A check is running already; wait until it ends.")
    try:
        found = service()
        patient = Patient(
            settings=found.settings,
            settings_path=default_settings_path(),
            settings_problem=found.settings_problem,
        )
        return json(DoctorReport(verdicts=tuple(examine_apart(patient))))
    finally:
        _examining.release()


@upkeep.post("/restart")
@answers(upkeep, ref("Restarting"), 409, status=202, text="Stopping")
def restart_service() -> Response:
    """Stop and let systemd start again; images that wait or are being counted are counted afterwards."""
    restart()
    return json(Restarting(text="fluocount restarts; this takes about half a minute."), 202)
