"""Copies that share their bytes with the original until one of them changes, where the disk can.

Sources: ioctl_ficlone(2) on Linux (btrfs, XFS); clonefile(2) on macOS (APFS).
"""

import errno
import fcntl
import os
import sys
from pathlib import Path

_FICLONE = 0x40049409
_CANNOT = frozenset({
    errno.EOPNOTSUPP, errno.ENOTSUP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS,
    errno.EBADF, errno.ETXTBSY,
})  # fmt: skip


def clone_file(source: Path, target: Path) -> bool:
    """Make `target` a clone of `source`; False where the file system cannot, and no target then.

    Raises:
        OSError: any other failure, such as a missing source or an existing target.
    """
    try:
        if sys.platform == "darwin":
            _clone_on_macos(source, target)
        else:
            _clone_on_linux(source, target)
    except OSError as error:
        if error.errno in _CANNOT:
            return False
        raise
    return True


def _clone_on_linux(source: Path, target: Path) -> None:
    with source.open("rb") as original, target.open("xb") as copy:
        try:
            fcntl.ioctl(copy.fileno(), _FICLONE, original.fileno())
        except OSError:
            target.unlink()
            raise


def _clone_on_macos(source: Path, target: Path) -> None:
    import ctypes

    system = ctypes.CDLL(None, use_errno=True)
    if system.clonefile(os.fsencode(source), os.fsencode(target), 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(source))
