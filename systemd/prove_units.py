#!/usr/bin/env python3
"""Prove the units under a real systemd: install, boot, crash, cut off in mid-upload, come back.

    sudo .venv/bin/python systemd/prove_units.py --work /var/tmp/units

Starts this machine's systemd in namespaces of its own, over this machine's files, which stay as they are:
what the second system writes lies in memory. Needs root, systemd, unshare and nsenter, and a Python of the
same version as /usr/bin/python3 with fluocount's libraries. The camera is the stand-in of the tests
(tests/fake_picamera2.py), in the hardened unit and in its own process. The kernel is this machine's: a cut
ends every process at once, but the disk keeps what was written; there are no pins.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from proof_box import Box, wait_for
from proof_steps import Lines, ProofError, Steps

CLIENT = Path(__file__).with_name("proof_client.py")
INSIDE = "PROVE_UNITS_INSIDE"
KILLS = 6
TOO_OFTEN = 3
UPLOADS = 5


def require(holds: bool, what: str) -> str:
    """The sentence, when it holds."""
    if not holds:
        raise ProofError(f"not so: {what}")
    return what


def boot(box: Box) -> Lines:
    """The first start."""
    box.boot()
    yield box.run("systemctl", "--version").splitlines()[0]
    yield require(box.run("systemctl", "list-units", "--failed", "-q") == "", "no unit failed")
    wait_for(box.camera_process, "the camera's process")
    yield "the page answers, the camera runs in a process of its own in the hardened unit"


def lose_camera(box: Box) -> Lines:
    """The camera's process is killed."""
    service, camera = (
        box.run("systemctl", "show", "-P", "MainPID", "fluocount"),
        box.camera_process(),
    )
    assert camera is not None
    box.run("kill", "-KILL", camera)
    wait_for(lambda: box.camera_process() not in (None, camera), "another process of the camera")
    yield f"camera's process {camera} killed: {box.camera_process()} took over"
    same = box.run("systemctl", "show", "-P", "MainPID", "fluocount") == service
    yield require(same, "the service went on")


def crash(box: Box) -> Lines:
    """The service is killed again and again."""
    for kill in range(KILLS):
        if kill < TOO_OFTEN:  # later ones may come before the program has begun to count them
            wait_for(lambda: box.health() is not None, "the page between two crashes")
        box.run("systemctl", "kill", "-s", "KILL", "fluocount")
        restarted = box.run("systemctl", "show", "-P", "NRestarts", "fluocount")
        wait_for(
            lambda: (
                box.run("systemctl", "show", "-P", "SubState", "fluocount") in ("start", "running")
            ),
            "a restart",
        )
    yield f"killed {KILLS} times, started again {restarted} times by systemd"
    yield require(
        box.run("systemctl", "is-active", "fluocount.socket") == "active", "the address is held"
    )
    wait_for(lambda: box.health() == "degraded", "the page in safe mode")
    log = box.run("journalctl", "-u", "fluocount", "--no-pager", "-o", "cat")
    yield re.findall(r"problem \(camera\): (.*)", log)[-1]
    yield require(box.camera_process() is None, "no process of the camera runs")
    box.run("systemctl", "restart", "fluocount")
    wait_for(box.camera_process, "the camera after a restart")
    yield "after a restart the camera is back"


def cut(box: Box) -> Lines:
    """Everything ends in mid-upload."""
    token = box.as_user("token", "create", "proof").split()[-1]
    with subprocess.Popen(
        box.enter(sys.executable, str(CLIENT), token, str(UPLOADS), net_only=True),
        stdout=subprocess.PIPE,
        text=True,
    ) as client:
        assert client.stdout is not None
        answers = [client.stdout.readline() for _ in range(UPLOADS + 1)]
        box.cut_off()
        client.kill()
    accepted = [
        json.loads(one.split(maxsplit=1)[1])["id"] for one in answers if one.startswith("202")
    ]
    yield require(answers[-1] == "half\n", f"{len(accepted)} accepted, one half sent, then cut off")
    box.boot()
    rows = {each: f"/api/v1/counts/{each}" for each in accepted}
    wait_for(
        lambda: all((box.ask(path, token) or {}).get("status") == "done" for path in rows.values()),
        "the accepted images counted",
    )
    total = len(box.ask("/api/v1/counts", token)["counts"])
    yield require(
        total == len(accepted) == UPLOADS, f"booted again: {total} counted, the half one is not"
    )
    wait_for(box.camera_process, "the camera after the cut")


def stop(box: Box) -> Lines:
    """A proper stop."""
    began = time.monotonic()
    box.run("systemctl", "stop", "fluocount.socket", "fluocount")
    yield f"stopped in {time.monotonic() - began:.1f} s"
    yield require(
        box.run("systemctl", "show", "-P", "Result", "fluocount") == "success", "without force"
    )
    yield require("child" not in box.run("ps", "-eo", "args"), "no process is left")


STEPS: dict[str, tuple[str, Callable[[Box], Lines]]] = {
    "boot": ("Install and boot", boot),
    "camera": ("The camera's process dies", lose_camera),
    "crash": ("The service crashes again and again", crash),
    "cut": ("Cut off in mid-upload", cut),
    "stop": ("Stop", stop),
}


def main() -> None:
    """Prove it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for what is printed")
    chosen = parser.parse_args()
    missing = [name for name in ("unshare", "nsenter", "curl") if shutil.which(name) is None]
    if os.geteuid() != 0 or missing:
        sys.exit(f"prove_units.py: must run as root, with {' '.join(missing) or 'sudo'}.")
    if os.environ.get(INSIDE) is None:
        # A mount namespace of its own, so that nothing stays mounted.
        words = ["unshare", "--mount", "--propagation", "private", sys.executable, *sys.argv]
        sys.exit(subprocess.run(words, env=os.environ | {INSIDE: "1"}, check=False).returncode)
    with tempfile.TemporaryDirectory(prefix="prove-units-") as folder:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", folder], check=True)
        box = Box(Path(folder))
        steps = Steps(chosen.work.resolve(), tuple(STEPS), how="")
        try:
            for name, (title, step) in STEPS.items():
                steps.run(name, title, lambda step=step: step(box))
        except ProofError as error:
            sys.exit(f"{error}\n{box.log()}\nNOT PROVED")
        finally:
            box.cut_off()
            subprocess.run(["umount", folder], check=True)
    print("PROVED: the page survives its camera, its crashes and a cut")


if __name__ == "__main__":
    main()
