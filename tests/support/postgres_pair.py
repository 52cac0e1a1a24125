"""Runs two PostgreSQL servers behind one address, of which the second may copy the first and take over from it."""

from __future__ import annotations

import os
from pathlib import Path

from tests.support.postgres import Postgres, url_at


class Pair:
    """Two servers, of which one at a time is what the registry's URL leads to."""

    def __init__(self, folder: Path) -> None:
        self.folders = [folder / "a", folder / "b"]
        self.address = folder / "at"
        os.chmod(folder, 0o755)  # the servers run as somebody else
        for place in self.folders:
            place.mkdir()
        self.primary, self.standby = (Postgres(place) for place in self.folders)
        self.primary.start()
        self.lead_to(self.primary)

    def lead_to(self, server: Postgres) -> None:
        """Whoever connects from now on meets this server; connections stay where they are."""
        self.address.unlink(missing_ok=True)
        self.address.symlink_to(server.folder)

    def url(self, database: str = "postgres", user: str = "postgres") -> str:
        """What a registry is opened with."""
        return url_at(self.address, database, user)

    def swap(self) -> None:
        """The standby was promoted: the primary of before, which has ended, is whoever may follow next."""
        self.primary, self.standby = self.standby, self.primary

    def throw_away(self) -> None:
        """End both."""
        self.primary.throw_away()
        self.standby.throw_away()
