"""Owns the data folder of `relay dev`: its lock, its secret and the places of everything in it."""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from relay.client.private_files import FOLDER_MODE, make_folder, open_own, replace_file
from relay.errors import Misconfigured

SECRET_BYTES = 32  # 43 characters of base64


def default_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """`relay/` in the XDG state folder."""
    base = environ.get("XDG_STATE_HOME")
    return (Path(base) if base and os.path.isabs(base) else Path.home() / ".local/state") / "relay"


class DataFolder:
    """What one `relay dev` keeps between two starts."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()
        self.logs = self.path / "logs"
        self.engine = self.path / "engine"
        self.agent = self.path / "agent"
        self.database = self.path / "relay.db"
        self.secret = self.path / "secret"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Make the folder and hold it for one `relay dev`; raises `Misconfigured` if that cannot be."""
        try:
            make_folder(self.path)
            if self.path.stat().st_mode & (stat.S_IWOTH | stat.S_ISVTX) == stat.S_IWOTH:
                raise Misconfigured(f"{self.path} can be changed by everybody here; choose another folder with --data")
            for part in (self.logs, self.engine, self.agent):
                make_folder(part)
                part.chmod(FOLDER_MODE)  # --data may name a folder that is open to others; what we keep in it is not
            lock = open_own(self.path / "lock")
        except OSError as error:
            raise self._unusable(error) from None
        try:
            self._lock(lock)
            self._make_secret()
            yield
        finally:
            # The file stays: removing it would let a third process lock a name that a second one still holds.
            os.close(lock)

    def _lock(self, lock: int) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(lock, 20, 0).decode("ascii", "replace").strip() or "unknown"
            raise Misconfigured(
                f"another relay dev (process {holder}) uses {self.path}; stop it, or choose another folder with --data"
            ) from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)

    def _make_secret(self) -> None:
        if not self.secret.exists():
            replace_file(self.secret, secrets.token_urlsafe(SECRET_BYTES).encode())

    def _unusable(self, error: OSError) -> Misconfigured:
        return Misconfigured(f"cannot write to {self.path}: {error.strerror}; choose another folder with --data")
