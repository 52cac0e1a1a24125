"""Opens the registry and hands out its parts, one per noun."""

from __future__ import annotations

from relay.registry.audit import Audit
from relay.registry.census import Census
from relay.registry.changes import Changes
from relay.registry.charter import Charter, take_no_writes_once_moved, which
from relay.registry.credentials import Credentials
from relay.registry.database import Database
from relay.registry.keys import Keys
from relay.registry.links import Links
from relay.registry.machines import Machines
from relay.registry.members import Members
from relay.registry.migrate import check_version
from relay.registry.people import People
from relay.registry.pruning import Pruning
from relay.registry.rhythms import Rhythms
from relay.registry.workspaces import Workspaces


class Registry:
    """The durable half of a cluster; made by `Registry.open`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.seconds = database.seconds  # of transactions, by whether they may write
        self.failures = database.failures  # the same of those that were not done
        self.people = People(database)
        self.workspaces = Workspaces(database)
        self.members = Members(database)
        self.credentials = Credentials(database)
        self.keys = Keys(database)
        self.links = Links(database)
        self.machines = Machines(database)
        self.changes = Changes(database)
        self.audit = Audit(database)
        self.census = Census(database)
        self.pruning = Pruning(database)
        self.rhythms = Rhythms(database)

    @classmethod
    async def open(cls, url: str) -> Registry:
        """The registry at `url`, ready to use; raises `Misconfigured` for a URL or a schema version that does not fit,
        `Unavailable` if the database does not answer."""
        database = Database(url)
        try:
            await check_version(database)
            database.check_writes(take_no_writes_once_moved)
        except BaseException:
            await database.close()
            raise
        return cls(database)

    async def charter(self, now_ms: int) -> Charter:
        """Which registry this is."""
        return await which(self._database, now_ms)

    async def close(self) -> None:
        """Close every connection; the registry cannot be used afterwards."""
        await self.machines.finished()
        await self._database.close()
