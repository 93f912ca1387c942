"""`fluocount doctor`: check this computer and say what to do."""

import sys
from pathlib import Path

import click
import msgspec

from device.doctor import Verdict, examine, load_patient

_SIGNS = {"ok": "ok", "warning": "WARNING", "failure": "FAILURE"}


@click.command("doctor")
@click.option("--camera", is_flag=True, help="Check only the camera, in detail.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per check and line.")
@click.option("--config", type=click.Path(path_type=Path), help="Settings file (TOML).")
def command(camera: bool, as_json: bool, config: Path | None) -> None:
    """Check system, parts and a count, and say what to do. The exit status is 1 if counting fails."""
    patient = load_patient(config)
    if camera:
        from device.doctor.camera import examine_camera

        verdicts = examine_camera(patient)
    else:
        verdicts = examine(patient)
    for verdict in verdicts:
        click.echo(msgspec.json.encode(verdict).decode() if as_json else _line(verdict))
    failures = sum(verdict.state == "failure" for verdict in verdicts)
    warnings = sum(verdict.state == "warning" for verdict in verdicts)
    if not as_json:
        click.echo(_camera_summary(failures) if camera else _summary(failures, warnings))
    sys.exit(1 if failures else 0)


def _line(verdict: Verdict) -> str:
    line = f"{_SIGNS[verdict.state]:8} {verdict.check:12} {verdict.found}"
    return f"{line}\n{'':22}-> {verdict.todo}" if verdict.todo else line


def _summary(failures: int, warnings: int) -> str:
    if failures:
        return f"{failures} failure(s), {warnings} warning(s): this computer cannot count yet."
    if warnings:
        return f"This computer can count; see the {warnings} warning(s) above."
    return "This computer can count."


def _camera_summary(failures: int) -> str:
    return (
        f"{failures} failure(s): do not count with this camera yet."
        if failures
        else "The camera works."
    )
