"""Reads, a page at a time, which machines Redis believes to be on one node."""

from __future__ import annotations

from relay.rules.limits import SCRIPT_IDS
from relay.store.connection import ask
from relay.store.keys import Keys
from relay.store.memory import Memory


class Places:
    """Where machines are, in the order in which Redis keeps them: a few of them at each question, over all shards in
    turn, so that whoever asks for long enough has seen everything and nobody is held up by it."""

    def __init__(self, redis: Memory, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys
        self._shard = 0
        self._cursor = "0"

    async def page(self, boot: str) -> list[tuple[str, str]]:
        """The (workspace, machine) of the next page that name this node; raises `Unavailable`."""
        key = self._keys.of(self._shard, "places")
        cursor, page = await ask(self._redis, "HSCAN", key, self._cursor, "COUNT", SCRIPT_IDS)
        self._cursor = str(cursor)
        if self._cursor == "0":
            self._shard = (self._shard + 1) % len(self._keys.shards)
        found = ((place.split(" "), machine) for machine, place in page.items())
        return [(words[0], machine) for words, machine in found if words[-1] == boot]
