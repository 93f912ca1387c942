"""The values that the checks use and return."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from device.config import Settings, default_settings_path, load_settings
from device.errors import SettingsError
from device.models.card import use_installed


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What one check found.

    Attributes:
        check: its name.
        state: `failure` means that counting does not work; `warning` that something else does not.
        found: one sentence.
        todo: what to do; empty if nothing, or if `found` says it already.
    """

    state: Literal["ok", "warning", "failure"]
    found: str
    todo: str = ""
    check: str = ""

    def under(self, check: str) -> "Verdict":
        """The same with the name of its check."""
        return msgspec.structs.replace(self, check=check)


class Patient(msgspec.Struct, frozen=True, kw_only=True):
    """The system to check.

    Attributes:
        settings: as read, or the defaults if they are damaged.
        settings_path: the file, None if there is none.
        settings_problem: why the file cannot be used.
        root: of the file system, for system files.
    """

    settings: Settings
    settings_path: Path | None = None
    settings_problem: str | None = None
    root: Path = Path("/")


Check = Callable[[Patient], Verdict]


def ok(found: str) -> Verdict:
    """Nothing to do."""
    return Verdict(state="ok", found=found)


def warning(found: str, todo: str) -> Verdict:
    """Counting works, something else does not."""
    return Verdict(state="warning", found=found, todo=todo)


def failure(found: str, todo: str) -> Verdict:
    """Counting does not work."""
    return Verdict(state="failure", found=found, todo=todo)


def load_patient(path: Path | None) -> Patient:
    """This machine with the settings of `path`, or of the usual place."""
    path = path or default_settings_path()
    try:
        settings = load_settings(path)
        use_installed(settings.data_dir)
        return Patient(settings=settings, settings_path=path)
    except SettingsError as error:
        return Patient(settings=Settings(), settings_path=path, settings_problem=str(error))
