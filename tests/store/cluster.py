"""Plays nodes and sweepers against the store, so that tests read as sentences about machines."""

from __future__ import annotations

from typing import cast
from uuid import uuid4

from redis.asyncio import Redis

from relay.errors import Unavailable
from relay.rules.presence import Fence, Info, Record, State, state
from relay.store import (
    Admitted,
    Announcement,
    Beat,
    Claimed,
    Claims,
    Keys,
    Leases,
    Lost,
    Memory,
    Presence,
    Reannouncement,
    Refused,
    Revocations,
)
from relay.store.connection import ask
from relay.store.leases import Lease
from tests.support.valkey import Valkey

NODE = "node-a"
OTHER_NODE = "node-b"


class Cluster:
    """A workspace with two nodes; every method is one thing that a node or a sweeper does."""

    def __init__(self, redis: Memory, keys: Keys, valkey: Valkey | None = None) -> None:
        self.redis = cast(Redis, redis)  # which tests of one server look into
        self.keys = keys
        self.valkey = valkey
        self.presence = Presence(redis, keys)
        self.claims = Claims(redis, keys)
        self.revocations = Revocations(redis, keys)
        self.leases = Leases(redis, keys)
        self.enter(str(uuid4()))

    def enter(self, workspace: str) -> None:
        """Speak of this workspace from here on."""
        self.workspace = workspace
        self.shard = self.keys.shard(workspace)

    async def settle(self) -> None:
        """Let a node flush until the shard's silence can be trusted, and complete the mirror of revocations."""
        await self.revocations.load(self.shard, [], 0)
        await self.flush()
        await ask(self.redis, "HSET", self.keys.of(self.shard, "marker"), "settled", "1")

    async def later(self, seconds: float, *beating: tuple[str, Fence]) -> list[Lost]:
        """Let time pass, a flush every five seconds, with these machines' beats in each."""
        assert self.valkey is not None, "this needs the fixture `moving`"
        lost: list[Lost] = []
        while seconds > 0:
            step = min(seconds, 5.0)
            self.valkey.forward(step)
            lost += await self.flush(*beating)
            seconds -= step
        return lost

    async def hello(self, machine: str, node: str = NODE, **claims: int | str) -> Admitted | Refused:
        """A machine says hello on a node."""
        return await self.presence.announce(self.announcement(machine, node, **claims))

    def announcement(self, machine: str, node: str = NODE, **claims: int | str) -> Announcement:
        """What a machine's hello claims."""
        wanted = {"token_version": 1, "connection": uuid4().hex[:8], **claims}
        return Announcement(workspace=self.workspace, machine=machine, node=node, info=Info(pid=1), **wanted)  # type: ignore[arg-type]

    async def welcome(self, machine: str, node: str = NODE, **claims: int | str) -> Fence:
        """A machine says hello and is admitted."""
        answer = await self.hello(machine, node, **claims)
        assert isinstance(answer, Admitted), answer
        return answer.fence

    async def flush(self, *beating: tuple[str, Fence], age_ms: int = 0) -> list[Lost]:
        """A node tells Redis whom it heard, so long ago."""
        lost, away = await self.presence.beat(NODE, self.beats(*beating, age_ms=age_ms))
        if self.shard in away:
            raise Unavailable("the shard is away")
        return lost

    def beats(self, *beating: tuple[str, Fence], age_ms: int = 0) -> list[Beat]:
        """What is to be told of these machines."""
        return [Beat(self.workspace, machine, fence, age_ms) for machine, fence in beating]

    async def reannounce(self, *machines: tuple[str, Fence], age_ms: int = 0, upto: int = 0) -> list[Lost]:
        """A node puts machines back that Redis does not know."""
        info = Info(pid=1)
        return await self.presence.reannounce(
            NODE, upto, [Reannouncement(self.workspace, machine, fence, age_ms, info) for machine, fence in machines]
        )

    async def excuse(self) -> None:
        """A node turned machines away because Redis did not answer, and says so."""
        await self.presence.excuse([self.shard])

    async def sweep(self, *live: str, limit: int = 500) -> list[Claimed]:
        """A sweeper claims what is due; SQL is not told yet."""
        return await self.claims.claim([self.shard], limit, live)

    async def tell(self, *live: str) -> list[Claimed]:
        """A sweeper claims, tells SQL, and confirms."""
        claimed = await self.sweep(*live)
        await self.claims.confirm(claimed)
        return claimed

    async def record(self, machine: str) -> Record:
        """What Redis holds of a machine; there must be something."""
        found = await self.presence.locate(self.workspace, machine)
        assert found is not None
        return found

    async def state(self, machine: str, was_offline: bool = False) -> State:
        """The band that every reader would show."""
        readout = await self.presence.read(self.workspace, [machine])
        return state(readout.records.get(machine), readout.now_ms, readout.settled, was_offline)

    async def revoke(self, machine: str, number: int = 1) -> None:
        """A node has committed a revocation and tells Redis."""
        await self.revocations.add(self.workspace, machine, number)

    async def lease(self, boot: str = NODE) -> None:
        """A node renews its lease."""
        await self.leases.renew(Lease(boot, "http://127.0.0.1:1", 0))


def machine_id() -> str:
    """A fresh machine."""
    return str(uuid4())
