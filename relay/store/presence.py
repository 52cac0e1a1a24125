"""Remembers which connection speaks for each machine, and when each was last heard."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from msgspec import Struct

from relay.rules.presence import Fence, Info, Record
from relay.store.connection import Redis
from relay.store.keys import Keys


class Announcement(Struct, frozen=True, kw_only=True):
    """What a machine's hello claims: its next generation is minted from it."""

    workspace: str
    machine: str
    token_version: int
    connection: str
    node: str  # boot id
    known_generation: int = 0  # the generation the agent last held; ignored when more than an hour ahead
    info: Info
    revocations_upto: int = 0  # the node's own cursor in the table of changes


class Admitted(Struct, frozen=True, kw_only=True):
    """The machine is this connection's now; `previous_*` name the connection that had it, if one was remembered."""

    fence: Fence
    previous_token_version: int = 0
    previous_node: str | None = None
    previous_connection: str | None = None
    previous_generation: int = 0
    previous_connected: bool = False  # its socket was not known to have dropped: it wants a kick


class Refused(Struct, frozen=True):
    """The hello changes nothing. `mirror-behind`: load the shard's revocations up to your cursor, then announce again."""

    reason: Literal["revoked", "replaced", "rate-limited", "mirror-behind"]
    fence: Fence | None = None  # of `replaced`: who has the machine


class Beat(NamedTuple):
    """A machine was heard `age_ms` ago (by a monotonic clock) on this connection."""

    workspace: str
    machine: str
    fence: Fence
    age_ms: int


class Reannouncement(NamedTuple):
    """A beat with all that Redis should know of the machine, after it said `unknown`."""

    workspace: str
    machine: str
    fence: Fence
    age_ms: int
    info: Info


class Lost(Struct, frozen=True):
    """A beat that was not taken. `unknown`: re-announce if the connection is still here; `mirror-behind` (of
    re-announcements only): load the shard's revocations first; `revoked` and `replaced`: close it."""

    workspace: str
    machine: str
    reason: Literal["unknown", "revoked", "replaced", "mirror-behind"]
    fence: Fence  # the stored one for `replaced`, else the beat's own


class Readout(Struct, frozen=True):
    """Presence as of one moment of Redis's clock; a machine without a record is not among `records`."""

    now_ms: int
    settled: bool
    records: dict[str, Record]
    version: int  # of the workspace: the same number means that no machine came, left or changed since


class Presence:
    """Presence of all machines, fenced by (token version, generation, connection). All methods raise `Unavailable`."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    async def announce(self, announcement: Announcement) -> Admitted | Refused:
        """Take the machine for a new connection under a generation that nobody held before: one script, one round trip."""
        raise NotImplementedError

    async def beat(self, node: str, beats: Sequence[Beat]) -> list[Lost]:
        """Refresh the deadlines of the connections that still own their machines, mark every shard as flushed, and tell
        which beats were not taken. To be called at each flush, also with no beats: the marks are what makes silence
        trustworthy."""
        raise NotImplementedError

    async def reannounce(self, node: str, revocations_upto: int, machines: Sequence[Reannouncement]) -> list[Lost]:
        """Put machines back under the fences they hold: adopted when nothing, the same or an older fence is stored."""
        raise NotImplementedError

    async def drop(self, workspace: str, machine: str, fence: Fence) -> bool:
        """The socket was seen to drop: offline in 10 s unless it returns. Whether this fence still owned the machine."""
        raise NotImplementedError

    async def goodbye(self, workspace: str, machine: str, fence: Fence) -> bool:
        """The agent left on purpose: offline now. Whether this fence still owned the machine."""
        raise NotImplementedError

    async def describe(self, workspace: str, machine: str, fence: Fence, info: Info) -> bool:
        """Replace what the machine says of itself and ring. Whether this fence still owned the machine."""
        raise NotImplementedError

    async def forget(self, workspace: str, machine: str) -> None:
        """Remove every trace of the machine but its revocation, and ring; for revoked machines."""
        raise NotImplementedError

    async def read(self, workspace: str, machines: Iterable[str] | None = None) -> Readout:
        """The records of these machines, or of all the workspace's when None, in chunks that let the loop breathe."""
        raise NotImplementedError

    async def locate(self, workspace: str, machine: str) -> Record | None:
        """One machine's record: `node` holds its socket when `connected`. None when Redis does not know it."""
        raise NotImplementedError

    async def version(self, workspace: str) -> int:
        """The workspace's version; a cheap question whether a readout is still good (as far as transitions go)."""
        raise NotImplementedError

    async def ring(self, workspace: str, machines: Sequence[str]) -> None:
        """Raise the workspace's version and tell listeners to read these machines again (their SQL part changed)."""
        raise NotImplementedError
