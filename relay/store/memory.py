"""Opens the relay's memory, be it one Redis or a Cluster, and asks it several things at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar

import structlog
from redis.asyncio import Redis

from relay.errors import Unavailable
from relay.store.connection import Commands, answering, connect
from relay.store.division import Division, is_division
from relay.store.keys import Keys
from relay.store.servers import OneServer, Servers
from relay.store.sharded import Command, Sharded
from relay.store.slots import Slots, is_cluster

Memory = Redis | Sharded
Answer = TypeVar("Answer")


def open_memory(url: str) -> Memory:
    """A client for RELAY_REDIS_URL; raises `Misconfigured`. It connects lazily: an unreachable Redis shows at the
    first command."""
    several = several_servers(url)
    return connect(url) if several is None else Sharded(several)


def servers(url: str) -> Servers:
    """Those of RELAY_REDIS_URL, for whoever keeps connections of their own; raises `Misconfigured`."""
    return several_servers(url) or OneServer(url)


def several_servers(url: str) -> Slots | Division | None:
    """Those of a URL that stands for several; raises `Misconfigured`."""
    if is_cluster(url):
        return Slots(url)
    return Division(url) if is_division(url) else None


async def outcomes(memory: Memory, commands: Sequence[Command]) -> list[Any]:
    """Several commands in one round trip to each server; in their order an answer or the server's refusal. Raises
    `Unavailable`, after which some may have been carried out."""
    with answering():
        if isinstance(memory, Sharded):
            return await memory.ask_all(commands)
        pipeline = memory.pipeline(transaction=False)
        for words in commands:
            pipeline.execute_command(*words)
        return list(await pipeline.execute(raise_on_error=False))


async def ask_all(memory: Memory, commands: Sequence[Command]) -> list[Any]:
    """The same, where a refusal is an error: raises `Unavailable`."""
    answers = await outcomes(memory, commands)
    with answering():
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
    return answers


async def some(attempts: Iterable[Awaitable[Answer]]) -> list[Answer]:
    """The answers of those of these who got one, all asked at once: a server that is away costs nobody else theirs.
    Raises `Unavailable` when nobody got any."""
    answers: list[Answer] = []
    failures: list[Unavailable] = []
    for outcome in await asyncio.gather(*attempts, return_exceptions=True):
        if isinstance(outcome, Unavailable):
            failures.append(outcome)
        elif isinstance(outcome, BaseException):
            raise outcome
        else:
            answers.append(outcome)
    if failures and not answers:
        raise failures[0]
    return answers


def independent(memory: Memory) -> list[Commands]:
    """The servers that know nothing of each other, in the order of the URL; what divides itself counts as one."""
    if isinstance(memory, Sharded) and isinstance(memory.slots, Division):
        return [memory.slots.client(address) for address in memory.slots.order]
    return [memory]


async def one_then_all(
    servers: Sequence[Commands], ask: Callable[[Commands], Awaitable[Answer]], agrees: Callable[[Answer], bool]
) -> list[Answer]:
    """The answers of those servers that can be reached: of the first of them, and if we agree with it of the others.
    Of several who come at once with something else in mind one is the first there, and the others leave no trace.
    Raises `Unavailable` when nobody answers."""
    for at, server in enumerate(servers):
        try:
            first = await ask(server)
        except Unavailable:
            if at + 1 == len(servers):
                raise
            continue
        rest = servers[at + 1 :] if agrees(first) else ()
        answers = await asyncio.gather(*map(ask, rest), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, Unavailable):
                raise answer
        return [first, *(answer for answer in answers if not isinstance(answer, BaseException))]
    raise AssertionError("there is a server")


async def each_server(
    memory: Memory, keys: Keys, shards: Iterable[int], work: Callable[[Sequence[int]], Awaitable[None]]
) -> frozenset[int]:
    """Do something with the shards of each server, with all servers at once; the shards of those that are away, which
    cost the others nothing. Raises `Unavailable` when nobody is there."""
    away: set[int] = set()
    why = ""

    async def do(mine: list[int]) -> None:
        nonlocal why
        try:
            await work(mine)
        except Unavailable as error:
            away.update(mine)
            why = error.message
            raise

    await some(do(mine) for mine in await _by_server(memory, keys, shards))
    if away:
        structlog.get_logger().warning("some shards of Redis are away", shards=sorted(away), why=why)
    return frozenset(away)


async def _by_server(memory: Memory, keys: Keys, shards: Iterable[int]) -> list[list[int]]:
    """The shards of each server; raises `Unavailable`."""
    if not isinstance(memory, Sharded):
        return [list(shards)]
    groups: dict[object, list[int]] = {}
    for shard in shards:
        groups.setdefault(await memory.home(keys.events(shard)), []).append(shard)
    return list(groups.values())
