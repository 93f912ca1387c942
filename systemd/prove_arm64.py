#!/usr/bin/env python3
"""Prove on the Pi's architecture: install from nothing in an emulated arm64 Debian, count, compare.

    sudo systemd/prove_arm64.py bookworm --work /var/tmp/proof --fluocount .venv/bin/fluocount

Needs root, debootstrap, qemu-user-static and an environment with fluocount's libraries for this machine,
which counts with the code of the same commit. A finished step is not repeated: `--again count` compares
the counts of what is committed now, `--again upgrade` installs it. What it prints is kept in
docs/arm64-RELEASE.txt. Taken from the environment where set: FLUOCOUNT_DEBIAN_MIRROR,
FLUOCOUNT_APT_CONF (a file for apt.conf.d), pip's and proxies' own variables, FLUOCOUNT_DATA (real
images; without it only synthetic ones are counted).
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from proof_counts import REPOSITORY, compare_counts
from proof_page import use_page
from proof_root import Root, bootstrap, register_emulator
from proof_steps import Lines, ProofError, Steps

EMULATOR = "qemu-aarch64-static"
STEPS = ("system", "install", "doctor", "page", "count", "upgrade")
README_SECTION = "On a Raspberry Pi"
OPTION = "--without-hardware"


def readme_commands(text: str) -> list[str]:
    """The commands of README's Raspberry Pi section: its indented lines, and what it says to type in a line."""
    section = text.split(f"\n## {README_SECTION}\n")[1].split("\n## ")[0]
    return re.findall(r"^    (\S.*)$", section, re.M) + re.findall(r"`(sudo [^`]+)`", section)


def with_option(command: str) -> str:
    """The installer's command with the option that a system without Raspberry Pi's packages needs."""
    return f"{command} {OPTION}" if "install.sh" in command else command


def copy_release(root: Root) -> str:
    """What a person unpacks: the committed files; gives the commit."""
    target = root.release_folder
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    with subprocess.Popen(
        ["git", "-C", REPOSITORY, "archive", "HEAD"], stdout=subprocess.PIPE
    ) as archive:
        subprocess.run(["tar", "-x", "-C", target], stdin=archive.stdout, check=True)
    command = ["git", "-C", REPOSITORY, "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def install(root: Root, command: str) -> Lines:
    """Run the installer of the commit of now."""
    yield f"release unpacked: commit {copy_release(root)}"
    yield f"$ {command}"
    yield root.shell(command)


def type_in(root: Root, command: str) -> Lines:
    """A command of README."""
    yield f"$ {command}"
    yield root.shell(command)


def count(root: Root, fluocount: Path, newer: bool) -> Lines:
    """Compare; a repetition counts with the commit of now in the environment that is installed."""
    if newer:
        yield f"code and models of commit {copy_release(root)}, with the libraries installed above"
    yield from compare_counts(root, fluocount, newer=newer)


def prove(root: Root, steps: Steps, fluocount: Path) -> None:
    """The whole proof, step by step."""
    installer, *others = readme_commands((REPOSITORY / "README.md").read_text())
    command = with_option(installer)
    if not steps.finished("system"):
        steps.forget()
    steps.run("system", f"{root.release}, arm64, emulated", lambda: bootstrap(root))
    steps.run("install", "README: install from nothing", lambda: install(root, command))
    for other in others:
        name = other.split()[-1]
        steps.run(name, f"README: {other}", lambda other=other: type_in(root, other))
    sample = REPOSITORY / "device/samples/neurons.jpg"
    steps.run("page", "README: the page counts", lambda: use_page(root, sample))
    newer = "count" in steps.again
    steps.run("count", "The counts of this machine", lambda: count(root, fluocount, newer))
    upgrade = with_option(f"{installer} --upgrade")
    steps.run("upgrade", "README: upgrade, settings and data stay", lambda: install(root, upgrade))


def main() -> None:
    """Prove one release."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("release", choices=["bookworm", "trixie"])
    parser.add_argument("--work", type=Path, required=True, help="folder for the emulated system")
    parser.add_argument("--fluocount", type=Path, required=True, help="this machine's fluocount")
    parser.add_argument("--again", choices=STEPS, action="append", default=[], help="repeat a step")
    chosen = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("prove_arm64.py: must run as root (debootstrap and chroot).")
    missing = [name for name in ("debootstrap", EMULATOR) if shutil.which(name) is None]
    if missing:
        names = " ".join(missing).replace(EMULATOR, "qemu-user-static")
        sys.exit(f"prove_arm64.py: not installed: {names} (apt install {names})")
    register_emulator()
    work = chosen.work.resolve()
    steps = Steps(work / f"steps-{chosen.release}", tuple(chosen.again))
    try:
        root = Root(work / f"root-{chosen.release}", chosen.release)
        prove(root, steps, chosen.fluocount.absolute())
    except ProofError as error:
        sys.exit(f"{error}\nNOT PROVED")
    print("PROVED: installed from nothing, counts as x86 does")


if __name__ == "__main__":
    main()
