"""The second system of prove_units.py: this machine's systemd in namespaces of its own."""

import json
import os
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from proof_steps import ProofError

REPOSITORY = Path(__file__).resolve().parent.parent
NAMESPACES = ("--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup")
PATIENCE_S = 60.0
SETTINGS = """[storage]
data_dir = "/var/lib/fluocount"
[camera]
kind = "pi"
width_px = 320
height_px = 240
exposure_s = 0.01
"""
PROGRAM = """#!/bin/sh
export PYTHONPATH={paths} FAKE_PICAMERA2=/var/lib/fluocount/camera PYTHONDONTWRITEBYTECODE=1
exec /usr/bin/python3 -P -m device.cli "$@"
"""


class Box:
    """The second system; it is booted, cut off and booted again over the same files.

    Args:
        disk: folder on a file system of its own; it is filled here.
    """

    def __init__(self, disk: Path) -> None:
        sys.path[:0] = [str(REPOSITORY / "tests"), str(REPOSITORY)]
        from fake_picamera2 import lay_out

        self._disk = disk
        (disk / "camera").mkdir()
        lay_out(disk / "camera")
        (disk / "fluocount.toml").write_text(SETTINGS)
        places = [REPOSITORY, REPOSITORY / "tests", "/var/lib/fluocount/camera"]
        places.append(sysconfig.get_paths()["purelib"])
        (disk / "program").write_text(PROGRAM.format(paths=":".join(map(str, places))))
        self._outer: subprocess.Popen[bytes] | None = None
        self._init: int | None = None

    def boot(self) -> None:
        """Start systemd; returns when the page answers."""
        script = [Path(__file__).with_name("boot_in_namespaces.sh"), self._disk, REPOSITORY]
        command = ["unshare", *NAMESPACES, "--fork", "--kill-child", "bash", *script]
        with (self._disk / "console.log").open("ab") as log:
            self._outer = subprocess.Popen(
                [*map(str, command), str(self._disk / "program")], stdout=log, stderr=log
            )
        self._init = int(wait_for(self._first_process, "a systemd"))
        wait_for(lambda: self.health() is not None, "the page")

    def cut_off(self) -> None:
        """End every process of the second system at once; nothing where there is none."""
        if self._init is not None:
            os.kill(self._init, signal.SIGKILL)
            self._init = None
        if self._outer is not None:
            self._outer.wait(PATIENCE_S)
            self._outer = None

    def enter(self, *words: str, net_only: bool = False) -> list[str]:
        """The command line that does this inside, or in its network alone with this machine's files."""
        spaces = ["-n"] if net_only else ["-m", "-p", "-n", "-u", "-i", "-C"]
        return ["nsenter", "-t", str(self._init), *spaces, "--", *words]

    def run(self, *words: str) -> str:
        """What a command inside prints; raises ProofError when it fails."""
        done = subprocess.run(self.enter(*words), capture_output=True, text=True, check=False)
        if done.returncode:
            raise ProofError(f"{' '.join(words)}: {done.stdout}{done.stderr}")
        return done.stdout.strip()

    def ask(self, path: str, token: str = "") -> Any:
        """What the page answers as JSON, None where it does not answer."""
        words = ["curl", "-s", "--noproxy", "*", "-m", "5"]
        words += ["-H", f"Authorization: Bearer {token}"] if token else []
        done = subprocess.run(
            self.enter(*words, f"http://127.0.0.1{path}", net_only=True),
            capture_output=True,
            check=False,
        )
        return json.loads(done.stdout) if done.returncode == 0 and done.stdout else None

    def health(self) -> str | None:
        """`ok`, `degraded`, or None without an answer."""
        answer = self.ask("/healthz")
        return None if answer is None else str(answer["status"])

    def as_user(self, *words: str) -> str:
        """Run fluocount as the service's user does."""
        settings = "FLUOCOUNT_CONFIG=/etc/fluocount/fluocount.toml"
        user = [
            "setpriv",
            "--reuid=fluocount",
            "--regid=fluocount",
            "--init-groups",
            "env",
            settings,
        ]
        return self.run(*user, "/opt/fluocount/venv/bin/fluocount", *words)

    def processes(self) -> dict[str, str]:
        """Number (inside) to command line of the processes of fluocount.service."""
        group = "/sys/fs/cgroup/system.slice/fluocount.service/cgroup.procs"
        numbers = self.run("cat", group).split()
        lines = {
            each: self.run("sh", "-c", f"tr '\\0' ' ' </proc/{each}/cmdline") for each in numbers
        }
        return {number: line for number, line in lines.items() if line}

    def camera_process(self) -> str | None:
        """Number of the camera's process."""
        found = [one for one, line in self.processes().items() if "device.camera.child" in line]
        return found[0] if found else None

    def log(self) -> str:
        """The end of the service's log, as far as there is one."""
        words = self.enter("journalctl", "-b", "--no-pager", "-n", "30", "-o", "short-monotonic")
        return subprocess.run(words, capture_output=True, text=True, check=False).stdout

    def _first_process(self) -> str | None:
        """Number (outside) of the systemd inside."""
        assert self._outer is not None
        if self._outer.poll() is not None:
            raise ProofError((self._disk / "console.log").read_text())
        children = (
            Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children").read_text().split()
        )
        systemd = [one for one in children if "systemd" in Path(f"/proc/{one}/comm").read_text()]
        return systemd[0] if systemd else None


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    """The first true value; raises ProofError after a minute."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.2)
    raise ProofError(f"{what}: not within {PATIENCE_S:.0f} s")
