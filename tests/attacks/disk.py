"""A disk in a file whose power can be cut: an ext4 file system that stops at once and forgets what was not synced."""

import fcntl
import os
import struct
import subprocess
import time
from pathlib import Path

_SHUTDOWN = 0x8004587D
"""EXT4_IOC_SHUTDOWN: every later access fails with an I/O error, as on a disk that died."""
_WITHOUT_FLUSHING = struct.pack("I", 2)


class NoDisk(Exception):  # noqa: N818 - a reason to skip, not a mistake
    """This machine cannot make one: it takes root and a free loop device."""


class Disk:
    """`with Disk(folder, 64) as disk: disk.place` is where it is mounted.

    Args:
        folder: an empty folder for the image and the mount point.
        size_mb: of the file system.
    """

    def __init__(self, folder: Path, size_mb: int = 64) -> None:
        self.place = folder / "disk"
        self._image = folder / "disk.img"
        self._size_mb = size_mb

    def __enter__(self) -> "Disk":
        self.place.mkdir(parents=True)
        with self._image.open("wb") as image:
            image.truncate(self._size_mb * 1_000_000)
        _run("mkfs.ext4", "-q", "-F", str(self._image))
        self.mount()
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", "--lazy", str(self.place)], capture_output=True, check=False)

    def mount(self) -> None:
        """Switch it on again, as at a start: the file system is checked and replays its journal."""
        for _ in range(100):
            subprocess.run(["fsck.ext4", "-p", str(self._image)], capture_output=True, check=False)
            _run("mount", "-o", "loop,errors=remount-ro", str(self._image), str(self.place))
            if self._is_writable():
                return
            self.unmount()  # the kernel had not yet let go of the dead one, and gave it to us again
            time.sleep(0.05)
        raise AssertionError("the disk cannot be mounted anew")

    def _is_writable(self) -> bool:
        probe = self.place / "probe"
        try:
            probe.touch()
            probe.unlink()
        except OSError:
            return False
        return True

    def unmount(self) -> None:
        """After everybody has let go of it."""
        for _ in range(100):
            done = subprocess.run(["umount", str(self.place)], capture_output=True, check=False)
            if done.returncode == 0 and self._is_let_go():
                return
            time.sleep(0.05)
        raise AssertionError(done.stderr.decode())

    def _is_let_go(self) -> bool:
        """The kernel lets go of a dead file system when its last user has ended: until then it may still write."""
        for _ in range(200):
            held = subprocess.run(
                ["losetup", "-j", str(self._image)], capture_output=True, check=True
            )
            if not held.stdout.strip():
                return True
            time.sleep(0.05)
        return False

    def cut_power(self) -> None:
        """From now on nothing reaches the disk, and what was not synced is gone."""
        descriptor = os.open(self.place, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, _WITHOUT_FLUSHING)
        finally:
            os.close(descriptor)

    def fall_ill(self) -> None:
        """The kernel finds an error and makes the file system read-only, until it is mounted anew."""
        device = Path(
            next(line.split()[0] for line in _mounts() if line.split()[1] == str(self.place))
        )
        Path(f"/sys/fs/ext4/{device.name}/trigger_fs_error").write_text("attack")

    def fill(self, left_bytes: int = 0) -> Path:
        """A file that leaves so little room; remove it to end the shortage."""
        ballast = self.place / "ballast"
        free = os.statvfs(self.place)
        with ballast.open("wb") as stream:
            os.posix_fallocate(
                stream.fileno(), 0, max(1, free.f_bavail * free.f_bsize - left_bytes)
            )
        return ballast


def _mounts() -> list[str]:
    return Path("/proc/mounts").read_text().splitlines()


def _run(*command: str) -> None:
    try:
        subprocess.run(command, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        what = getattr(error, "stderr", b"") or str(error).encode()
        raise NoDisk(what.decode(errors="replace")) from None
