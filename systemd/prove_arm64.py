#!/usr/bin/env python3
"""Prove on the Pi's architecture: install from nothing in an emulated arm64 Debian, count, compare.

    sudo systemd/prove_arm64.py bookworm --work /var/tmp/prove --fluocount .venv/bin/fluocount

Needs root, debootstrap, qemu-user-static and a fluocount for this machine to compare with. What it
prints is kept in docs/arm64-RELEASE.txt. Taken from the environment where set:
FLUOCOUNT_DEBIAN_MIRROR, FLUOCOUNT_APT_CONF (a file for apt.conf.d), pip's and proxies' own
variables, FLUOCOUNT_DATA (real images; without it only synthetic ones are counted).
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from proof_page import use_page
from proof_root import Root, say

REPOSITORY = Path(__file__).resolve().parent.parent
REAL_IMAGES = 2
LARGEST_SHIFT_PX = 1.0
EMULATOR = "qemu-aarch64-static"


def bootstrap(root: Root) -> None:
    """A minimal Debian with systemd; its base is kept beside it for the next proof."""
    base = root.folder.with_name(f"base-{root.release}")
    if not base.exists() or (base / "debootstrap").exists():
        make_base(Root(base, root.release))
    subprocess.run(["cp", "--archive", "--reflink=auto", base, root.folder], check=True)
    files = {
        "usr/sbin/policy-rc.d": "#!/bin/sh\nexit 101\n",
        "etc/dpkg/dpkg.cfg.d/proof": "force-unsafe-io\npath-exclude=/usr/share/doc/*\n",
    }
    for name, text in files.items():
        (root.folder / name).write_text(text)
        (root.folder / name).chmod(0o755)
    if "PIP_CERT" in os.environ:
        shutil.copy(os.environ["PIP_CERT"], root.folder / "etc/ssl/pip-cert.pem")
    if "FLUOCOUNT_APT_CONF" in os.environ:
        shutil.copy(os.environ["FLUOCOUNT_APT_CONF"], root.folder / "etc/apt/apt.conf.d/99proof")


def make_base(base: Root) -> None:
    """debootstrap in its two stages."""
    shutil.rmtree(base.folder, ignore_errors=True)
    mirror = os.environ.get("FLUOCOUNT_DEBIAN_MIRROR", "http://deb.debian.org/debian")
    options = ["--arch=arm64", "--variant=minbase", "--include=systemd-sysv,ca-certificates"]
    first = ["debootstrap", "--foreign", *options, base.release, str(base.folder), mirror]
    second = ["chroot", base.folder, "/debootstrap/debootstrap", "--second-stage"]
    with base.folder.with_suffix(".log").open("w") as log:
        subprocess.run(first, check=True, stdout=log, stderr=log)
        subprocess.run(second, check=True, stdout=log, stderr=log, env=base.environment())


def register_emulator() -> None:
    """Let the kernel start arm64 programs by itself."""
    folder = Path("/proc/sys/fs/binfmt_misc")
    if not (folder / "register").exists():
        subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", folder], check=True)
    if not (folder / "qemu-aarch64").exists():
        line = Path("/usr/lib/binfmt.d/qemu-aarch64.conf").read_text().strip()
        (folder / "register").write_text(line)


@contextmanager
def mounted(root: Root) -> Iterator[None]:
    """/proc inside, and name resolution as outside."""
    proc = root.folder / "proc"
    shutil.copy("/etc/resolv.conf", root.folder / "etc/resolv.conf")
    subprocess.run(["mount", "-t", "proc", "proc", proc], check=True)
    try:
        yield
    finally:
        unmount(root)


def unmount(root: Root) -> None:
    """Take /proc away; harmless where it is not mounted."""
    proc = root.folder / "proc"
    if proc.is_mount():
        subprocess.run(["umount", "--lazy", proc], check=True)


def copy_release(root: Root) -> None:
    """What a person unpacks: the committed files."""
    target = root.folder / "root/fluocount"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    with subprocess.Popen(
        ["git", "-C", REPOSITORY, "archive", "HEAD"], stdout=subprocess.PIPE
    ) as archive:
        subprocess.run(["tar", "-x", "-C", target], stdin=archive.stdout, check=True)


def install(root: Root, turn: str) -> None:
    """The README's command."""
    say(f"\n## {turn} run of: sudo ./systemd/install.sh --without-hardware")
    begin_s = time.monotonic()
    done = root.run("sh", "-c", "cd /root/fluocount && ./systemd/install.sh --without-hardware")
    say(done.stdout.strip())
    say(f"({time.monotonic() - begin_s:.0f} s, emulated)")


def images(work: Path, fluocount: Path) -> list[Path]:
    """Synthetic frames drawn on this machine, the shipped sample, and real frames where there are."""
    folder = work / "images"
    folder.mkdir(exist_ok=True)
    code = (
        "import sys\nfrom PIL import Image\nfrom device.synthetic import make_frame, vary_settings\n"
        "for seed in (1,):\n"
        "    frame = make_frame(seed, vary_settings(seed)).frame\n"
        "    Image.fromarray(frame.image).save(f'{sys.argv[1]}/synthetic-{seed}.png')\n"
    )
    python = fluocount.resolve().parent / "python"
    subprocess.run([python, "-c", code, folder], check=True, cwd=REPOSITORY)
    shutil.copy(REPOSITORY / "device/samples/neurons.jpg", folder)
    data = os.environ.get("FLUOCOUNT_DATA")
    found = sorted(Path(data).glob("fnc_*/**/images/*.png")) if data else []
    for path in found[:: max(1, len(found) // REAL_IMAGES)][:REAL_IMAGES]:
        shutil.copy(path, folder / f"real-{path.name}")
    return sorted(folder.iterdir())


def count_both(root: Root, fluocount: Path, pictures: list[Path]) -> bool:
    """Count the same files here and there; print the comparison; True when they agree."""
    shutil.rmtree(root.folder / "tmp/images", ignore_errors=True)
    shutil.copytree(pictures[0].parent, root.folder / "tmp/images")
    names = [f"/tmp/images/{path.name}" for path in pictures]
    there = root.run(*root.as_service("fluocount", "count", "--json", *names)).stdout
    command = [fluocount, "count", "--json", *pictures]
    here = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    results = [[json.loads(line) for line in text.splitlines() if line[:1] == "{"]
               for text in (here, there)]  # fmt: skip
    agree = len(results[0]) == len(results[1]) == len(pictures)
    say(f"\n## counts: {' '.join(['image'.ljust(40), 'x86', 'arm64', 'largest shift (px)'])}")
    for ours, theirs in zip(*results, strict=True):
        shift_px = largest_shift_px(ours["cells"], theirs["cells"])
        same = ours["count"] == theirs["count"] and shift_px <= LARGEST_SHIFT_PX
        agree &= same
        verdict = "same" if same else "DIFFERENT"
        numbers = f"{ours['count']:4} {theirs['count']:5} {shift_px:8.3f}"
        say(f"{verdict:10} {ours['image']:40} {numbers}")
    return agree


def largest_shift_px(ours: list[dict], theirs: list[dict]) -> float:
    """Largest distance from a cell's centroid to the nearest one of the other list."""
    if not ours or not theirs:
        return 0.0 if len(ours) == len(theirs) else float("inf")

    def nearest(cell: dict, others: list[dict]) -> float:
        return min(abs(complex(cell["x"] - o["x"], cell["y"] - o["y"])) for o in others)

    both_ways = [nearest(cell, theirs) for cell in ours] + [nearest(cell, ours) for cell in theirs]
    return max(both_ways)


def main() -> None:
    """Prove one release."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("release", choices=["bookworm", "trixie"])
    parser.add_argument("--work", type=Path, required=True, help="folder for the emulated system")
    parser.add_argument("--fluocount", type=Path, required=True, help="this machine's fluocount")
    chosen = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("prove_arm64.py: must run as root (debootstrap and chroot).")
    missing = [name for name in ("debootstrap", EMULATOR) if shutil.which(name) is None]
    if missing:
        sys.exit(
            f"prove_arm64.py: not installed: {' '.join(missing)} (apt install {' '.join(missing)})"
        )
    root = Root(chosen.work.resolve() / f"root-{chosen.release}", chosen.release)
    unmount(root)  # left by a proof that was killed
    shutil.rmtree(root.folder, ignore_errors=True)
    root.folder.parent.mkdir(parents=True, exist_ok=True)
    register_emulator()
    command = ["git", "-C", REPOSITORY, "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(command, capture_output=True, text=True, check=True)
    say(f"# {chosen.release}, arm64 (emulated), fluocount {commit.stdout.strip()}")
    bootstrap(root)
    with mounted(root):
        say(root.run("sh", "-c", "uname -m; grep PRETTY /etc/os-release").stdout.strip())
        copy_release(root)
        install(root, "first")
        pictures = images(chosen.work.resolve(), chosen.fluocount)
        good = count_both(root, chosen.fluocount, pictures)
        good &= use_page(root, REPOSITORY / "device/samples/neurons.jpg")
        install(root, "second")
    say("\n" + ("PROVED: installed from nothing, counts as x86 does" if good else "NOT PROVED"))
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
