"""Asks several Redis servers: a command goes to the one that owns its key, also when that has just become another."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from redis.exceptions import AskError, ClusterDownError, MovedError, ResponseError
from redis.exceptions import ConnectionError as LostConnection
from redis.exceptions import TimeoutError as NoAnswer

from relay.errors import Unavailable
from relay.store.division import Division
from relay.store.servers import Address, owner_anew
from relay.store.slots import Slots

ATTEMPTS = 4  # one that fails, one after the map was read, and two for servers that name each other
_AWAY = (LostConnection, NoAnswer, OSError, TimeoutError, ClusterDownError)  # perhaps another server has its slots now
_ELSEWHERE = (MovedError, AskError, ClusterDownError)  # what a server answers that does not have a slot
_SCRIPTS = ("EVALSHA", "EVAL")

Command = Sequence[Any]


class Sharded:
    """A client for a Cluster or a division, as far as the store needs one. It raises as redis-py's for one server does,
    and `Unavailable` for what no server owns. A command is repeated only at another server than the one that failed."""

    def __init__(self, slots: Slots | Division) -> None:
        self.slots = slots

    async def execute_command(self, *words: Any) -> Any:
        """One command and its answer; one without a key goes to any server."""
        await self._begun()
        return await self._ask(key_of(words) or "", words)

    async def ask_all(self, commands: Sequence[Command]) -> list[Any]:
        """Commands in one round trip to each server that they concern; in their order an answer or what the server
        said instead of one. Those without a key go where the first that has one goes."""
        await self._begun()
        keys = [key_of(words) for words in commands]
        common = next(filter(None, keys), "")
        groups: dict[Address, list[int]] = {}
        for position, key in enumerate(keys):
            groups.setdefault(await self._owner(key or common), []).append(position)
        answers: list[Any] = [None] * len(commands)

        async def ask(address: Address, positions: list[int]) -> None:
            mine = [(keys[at] or common, commands[at]) for at in positions]
            for at, answer in zip(positions, await self._ask_group(address, mine), strict=True):
                answers[at] = answer

        failed = await asyncio.gather(*(ask(*group) for group in groups.items()), return_exceptions=True)
        for error in filter(None, failed):
            raise error
        return answers

    async def home(self, key: str) -> Address | None:
        """Who owns a key; None while nobody does. Raises `Unavailable` when no server can be asked for the map."""
        await self._begun()
        try:
            return await self._owner(key)
        except Unavailable:
            return None

    async def aclose(self) -> None:
        """Leave no connection behind."""
        await self.slots.aclose()

    async def _begun(self) -> None:
        if not self.slots.addresses:
            await self.slots.learn()

    async def _owner(self, key: str) -> Address:
        try:
            return self.slots.owner(key)
        except Unavailable:
            return await owner_anew(self.slots, key)

    async def _ask(self, key: str, words: Command) -> Any:
        address = await self._owner(key)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await self.slots.client(address).execute_command(*words)  # type: ignore[no-untyped-call]
            except MovedError as error:
                if attempt == ATTEMPTS:
                    raise
                address = await self._moved(error, address)
            except AskError as error:
                return await self._ask_once(Address(error.host or address.host, error.port), words)
            except _AWAY:
                other = await self._other(key, address)
                if other is None or attempt == ATTEMPTS:
                    raise
                address = other
        raise AssertionError("the last attempt returns or raises")

    async def _ask_group(self, address: Address, group: list[tuple[str, Command]]) -> list[Any]:
        pipeline = self.slots.client(address).pipeline(transaction=False)
        for _, words in group:
            pipeline.execute_command(*words)
        try:
            answers = list(await pipeline.execute(raise_on_error=False))
        except _AWAY:
            if await self._other(group[0][0], address) is None:
                raise
            return [await self._outcome(key, words) for key, words in group]
        for at, answer in enumerate(answers):
            if isinstance(answer, _ELSEWHERE):
                if isinstance(answer, MovedError):
                    await self._moved(answer, address)
                answers[at] = await self._outcome(*group[at])
        return answers

    async def _outcome(self, key: str, words: Command) -> Any:
        try:
            return await self._ask(key, words)
        except ResponseError as error:
            return error

    async def _ask_once(self, address: Address, words: Command) -> Any:
        """Ask a server that is just being given the slot, and has not got all of it."""
        pipeline = self.slots.client(address).pipeline(transaction=False)
        pipeline.execute_command("ASKING")
        pipeline.execute_command(*words)
        return (await pipeline.execute())[-1]

    async def _moved(self, error: MovedError, asked: Address) -> Address:
        await self.slots.learn()
        return self.slots.moved(error, asked)  # after the map, which may be somebody's who has not heard of it

    async def _other(self, key: str, failed: Address) -> Address | None:
        """The server that has the key now, if it is not the one that failed."""
        await self.slots.learn()
        found = self.slots.owner(key)
        return None if found == failed else found


def key_of(words: Command) -> str | None:
    """The first key of a command, in the forms that the store sends; None for one without."""
    if words[0] in _SCRIPTS:
        return str(words[3]) if int(words[2]) else None
    return str(words[1]) if len(words) > 1 else None
