"""The emulated system of prove_arm64.py."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

KEPT_VARIABLES = ("http_proxy", "https_proxy", "no_proxy")
UNIT = "etc/systemd/system/fluocount.service"


def say(text: str) -> None:
    """One line of the proof."""
    print(text, flush=True)


class Root:
    """The emulated system below a folder."""

    def __init__(self, folder: Path, release: str) -> None:
        self.folder = folder
        self.release = release

    def run(self, *command: str, **changes: str) -> subprocess.CompletedProcess[str]:
        """Run a command inside; its output is returned, a failure ends the proof."""
        done = subprocess.run(
            ["chroot", self.folder, *command],
            env=self.environment(**changes),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            sys.exit(f"{done.stdout}\n{shlex.join(command)} ended with status {done.returncode}")
        return done

    def environment(self, **changes: str) -> dict[str, str]:
        """A clean environment with the registries' variables."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if (name.startswith("PIP_") or name.lower() in KEPT_VARIABLES) and name != "PIP_CERT"
        }
        if "PIP_CERT" in os.environ:
            kept["PIP_CERT"] = "/etc/ssl/pip-cert.pem"
        # The Pi 4's processor: qemu's default has instructions that no Pi has.
        return kept | {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
            "LC_ALL": "C.UTF-8",
            "QEMU_CPU": "cortex-a72",
            **changes,
        }

    def as_service(self, *command: str, **changes: str) -> list[str]:
        """A command line as the service's user with the variables of its unit."""
        unit = (self.folder / UNIT).read_text().splitlines()
        lines = [line.partition("=")[2] for line in unit if line.startswith("Environment=")]
        pairs = [pair for line in lines for pair in line.split()]
        pairs += [f"{name}={value}" for name, value in changes.items()]
        return ["runuser", "-u", "fluocount", "--", "env", *pairs, *command]
