"""Which failures are the machine's and pass for every file alike, and which are one file's own."""

import errno

_OF_THE_MACHINE = frozenset(
    {
        errno.EMFILE,  # too many open files, of this process
        errno.ENFILE,  # or of all
        errno.ENOMEM,
        errno.ENOBUFS,
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EROFS,  # the kernel remounts a sick disk read-only
    }
)


def is_of_the_machine(error: OSError) -> bool:
    """True where the next file would fail in the same way, so that waiting is right and refusing this one wrong."""
    return error.errno in _OF_THE_MACHINE
