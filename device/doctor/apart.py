"""The checks in a process of their own: one counts an image, whose memory the service cannot spare for good."""

import subprocess
import sys
from pathlib import Path

import msgspec

from device.config import Settings
from device.counting.records import DECODE_ERRORS
from device.doctor import examine
from device.doctor.verdict import Patient, Verdict
from device.errors import UnavailableError
from device.models.card import use_installed

_LONGEST_S = 180.0
"""A Raspberry Pi takes some 20 s, and a minute while it counts an image as well."""


class _Described(msgspec.Struct, frozen=True, kw_only=True):
    settings: Settings
    settings_path: str | None
    settings_problem: str | None


def examine_apart(patient: Patient) -> list[Verdict]:
    """As `examine`.

    Raises:
        UnavailableError: the process failed or took too long.
    """
    path = patient.settings_path
    described = _Described(
        settings=patient.settings,
        settings_path=None if path is None else str(path),
        settings_problem=patient.settings_problem,
    )
    try:
        done = subprocess.run(
            [sys.executable, "-m", "device.doctor.apart"],
            input=msgspec.json.encode(described),
            capture_output=True,
            timeout=_LONGEST_S,
            check=True,
        )
        return msgspec.json.decode(done.stdout, type=list[Verdict])
    except (OSError, subprocess.SubprocessError, *DECODE_ERRORS) as error:
        raise UnavailableError(
            f"The self-check could not be run ({type(error).__name__}); run sudo fluocount doctor."
        ) from error


def _main() -> None:
    described = msgspec.json.decode(sys.stdin.buffer.read(), type=_Described)
    path = described.settings_path
    patient = Patient(
        settings=described.settings,
        settings_path=None if path is None else Path(path),
        settings_problem=described.settings_problem,
    )
    use_installed(patient.settings.data_dir)
    verdicts = msgspec.json.encode(examine(patient))
    sys.stdout.buffer.write(verdicts)


if __name__ == "__main__":
    _main()
