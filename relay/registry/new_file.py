"""Makes a file of its owner's alone that is seen under its name once it is on disk whole, or never."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from relay.errors import Misconfigured, Unavailable

FILE_MODE = 0o600  # there are hashes of tokens in it
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)  # from file systems that know one name for a file


class NewFile:
    """What has been written so far. Methods raise `Unavailable` when the disk takes no more."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self._path = path
        self._file = file
        self.bytes = 0

    def write(self, data: bytes) -> None:
        """Add to its end."""
        try:
            self._file.write(data)
        except OSError as error:
            raise _refused(self._path, error) from None
        self.bytes += len(data)


@contextmanager
def new_file(path: Path) -> Iterator[NewFile]:
    """A file to write to, which appears at the end, and of which nothing is left if anything fails. Raises
    `Misconfigured` for a place where no file can be made, `Unavailable` for a full disk."""
    if path.exists():
        raise _exists(path)
    temporary = path.with_name(f".{path.name}.{os.urandom(6).hex()}")
    try:
        handle = os.open(temporary, _FLAGS, FILE_MODE)
    except OSError as error:
        raise Misconfigured(f"{path} cannot be made: {error.strerror}") from None
    file = os.fdopen(handle, "wb")
    try:
        yield NewFile(path, file)
        try:
            file.flush()
            os.fsync(handle)
            _name(temporary, path)
            _settle(path.parent)
        except OSError as error:
            raise _refused(path, error) from None
    finally:
        with suppress(OSError):  # what could not be written before cannot be now
            file.close()
        with suppress(FileNotFoundError):
            temporary.unlink()


def _name(temporary: Path, path: Path) -> None:
    """Unlike a renaming, a link never takes the place of a file that came meanwhile."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise _exists(path) from None
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.rename(temporary, path)


def _exists(path: Path) -> Misconfigured:
    return Misconfigured(f"{path} exists already; name a file that does not")


def _refused(path: Path, error: OSError) -> Unavailable:
    return Unavailable(f"{path} cannot be written: {error.strerror}; nothing is left of it")


def _settle(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
