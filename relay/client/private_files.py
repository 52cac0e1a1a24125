"""Keeps files that only this user may read, also in a folder to which others may write, and believes none of theirs."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from relay.errors import Misconfigured

FILE_MODE = 0o600
FOLDER_MODE = 0o700
ROOT = 0
_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW  # a link that somebody else made here must not choose what we write to


def make_folder(path: Path) -> None:
    """Make a folder of ours and those above it; one that is there already stays as it is. Raises `OSError`."""
    for folder in reversed(path.parents):  # one by one: `parents=True` would leave them to the umask
        if not folder.exists():
            folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
    path.mkdir(mode=FOLDER_MODE, exist_ok=True)


def open_own(path: Path) -> int:
    """A descriptor of a file of ours for reading and writing, made if need be, 0600 whatever it was before; raises
    `OSError`, and `Misconfigured` for one that somebody else put there."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | _FLAGS, FILE_MODE)
    try:
        _check(path, handle)
    except BaseException:
        os.close(handle)
        raise
    return handle


def read_own(path: Path) -> bytes:
    """The content of a file of ours, which from now on nobody else can read; raises `OSError`, and `Misconfigured` for
    one that somebody else put there: it would say to which relay this machine gives its shells."""
    with open(path, "rb") as file:
        _check(path, file.fileno())
        return file.read()


def replace_file(path: Path, content: bytes) -> None:
    """Replace a file whole, mode 0600, on disk before it is seen; raises `Misconfigured` if the folder refuses."""
    temporary = path.with_name(f".{path.name}.{os.urandom(6).hex()}")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, FILE_MODE)
        with open(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise Misconfigured(f"{path} cannot be written: {error.strerror}") from None


def _check(path: Path, handle: int) -> None:
    found, us = os.fstat(handle), os.geteuid()
    if found.st_uid not in (us, ROOT) and os.stat(path.parent).st_mode & stat.S_IWOTH:
        raise Misconfigured(f"{path} belongs to somebody else, who may have put it there: choose another folder")
    if found.st_uid == us and stat.S_ISREG(found.st_mode) and found.st_mode & 0o077:
        os.fchmod(handle, FILE_MODE)
