"""Finds out whether a folder is on a network share, where the kernel reports no file events of other computers."""

import re
from pathlib import Path

MOUNT_TABLE = Path("/proc/self/mountinfo")
_NETWORK_TYPES = frozenset(
    {"cifs", "smb3", "smbfs", "nfs", "nfs4", "ncpfs", "afs", "9p", "vboxsf", "ceph", "glusterfs"}
    | {"fuse.sshfs", "fuse.rclone", "fuse.gvfsd-fuse", "fuse.davfs", "davfs", "fuse.glusterfs"}
    | {"fuse.vmhgfs-fuse", "virtiofs", "beegfs", "lustre", "gpfs"}
)


def file_system_type(folder: Path, mount_table: str) -> str:
    """Type of the file system that holds `folder`, from the text of /proc/self/mountinfo."""
    best, found = -1, ""
    for line in mount_table.splitlines():
        before, _, after = line.partition(" - ")
        mount_point = Path(_unescape(before.split()[4]))
        if folder.is_relative_to(mount_point) and len(mount_point.parts) >= best:
            best, found = len(mount_point.parts), after.split()[0]
    return found


def on_network(folder: Path) -> bool:
    """True if file events are unreliable, so that the folder must be polled."""
    table = MOUNT_TABLE.read_text(errors="surrogateescape")
    return file_system_type(folder.resolve(), table) in _NETWORK_TYPES


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
