"""Gets a run its machines, registered through REST where the relay is not our own, and seats people before them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from itertools import cycle, islice
from random import Random
from typing import Any, NamedTuple
from uuid import uuid4

from loadtests.engine.machine import Seat
from loadtests.engine.person import Chair
from loadtests.engine.target import Target
from loadtests.engine.view import Target as Session
from loadtests.seeding import Seeded, invent, write_rows
from loadtests.servers import Servers
from relay.client.api import Api, api
from relay.errors import Unavailable
from relay.rules import limits
from relay.rules.fields import Mode
from relay.rules.tokens import Secrets, sign_machine

AT_ONCE = 8  # registrations under way: each is a transaction of the registry, which is not what is measured
TRIES = 10
AGAIN_SECONDS = 1.0
NAME_CHARACTERS = 6


Tell = Callable[[int], None]


class Machines(NamedTuple):
    """So many machines that are alike."""

    number: int
    sessions: int = 0  # on each
    beat_seconds: float = 0.0  # 0: as the relay says
    echoes: bool = False
    group: str = ""  # with whom they come and go


class People(NamedTuple):
    """So many browsers that are alike."""

    number: int
    sessions: int = 0  # that each is attached to
    mode: Mode = "watch"
    follows: bool = False  # a workspace's machines
    slow: bool = False
    group: str = ""


class Population(NamedTuple):
    """Everybody in a run."""

    seats: list[Seat]
    chairs: list[Chair]


async def populate(
    target: Target, machines: Sequence[Machines], people: Sequence[People], workspaces: int, tell: Tell
) -> Population:
    """Everybody, registered in so many workspaces; `tell` hears how many machines are. People take sessions in turn,
    each those behind the ones of the person before. Raises `RelayError`."""
    async with api(target.urls, target.token) as caller:
        places = await _workspaces(caller, target, sum(kind.number for kind in machines), workspaces)
        kinds = [kind for kind in machines for _ in range(kind.number)]
        if target.servers is not None:
            seats = await _written(target.servers, kinds, places)
        else:
            seats = [seat async for seat in _registered(caller, kinds, places, tell)]
    sessions = [(seat.id, session) for seat in seats for session in seat.sessions]
    chairs: list[Chair] = []
    homes = cycle(places)
    for kind in people:
        turns: Iterator[tuple[str, str]] = cycle(sessions)
        for _ in range(kind.number):
            chosen = [Session(machine, session, kind.mode) for machine, session in islice(turns, kind.sessions)]
            follows = next(homes) if kind.follows else ""
            chairs.append(
                Chair(f"load-{secrets.token_hex(8)}", target.token, tuple(chosen), follows, kind.slow, kind.group)
            )
    return Population(seats, chairs)


async def _workspaces(caller: Api, target: Target, machines: int, wanted: int) -> list[str]:
    """Workspaces for so many machines: as many as wanted on a cluster of our own, as few as will do on another."""
    needed = max(-(-machines // limits.MACHINES_PER_WORKSPACE), wanted if target.own else 1)
    found = [target.workspace]
    name = f"load test {secrets.token_hex(NAME_CHARACTERS // 2)}"
    for number in range(1, needed):
        found.append((await caller.request("POST", "/api/workspaces", body={"name": f"{name} {number}"}))["id"])
    return found


async def _written(servers: Servers, kinds: Sequence[Machines], workspaces: list[str]) -> list[Seat]:
    """Machines as they are after their first hello, which is a transaction of the registry: that happens once in a
    machine's life, so that it is no part of what a fleet costs. They are written straight into our own registry."""
    fleet = invent(len(kinds), Random(len(kinds)))
    signer = Secrets.parse(servers.secret)
    seats: dict[int, Seat] = {}
    for place, workspace in enumerate(workspaces):
        here = range(place, len(fleet), len(workspaces))
        await write_rows(servers.database_url, workspace, [fleet[number] for number in here])
        for number in here:
            machine = fleet[number]
            token = sign_machine(signer, workspace, machine.id, machine.token_version)
            seats[number] = _seat(machine, token, kinds[number])
    return [seats[number] for number in range(len(fleet))]


def _seat(machine: Seeded, token: str, kind: Machines) -> Seat:
    sessions = tuple(str(uuid4()) for _ in range(kind.sessions))
    rest = (kind.beat_seconds, kind.echoes, kind.group)
    return Seat(machine.id, machine.name, machine.hostname, machine.instance, token, sessions, *rest)


async def _registered(caller: Api, kinds: Sequence[Machines], workspaces: list[str], tell: Tell) -> AsyncIterator[Seat]:
    run = secrets.token_hex(NAME_CHARACTERS // 2)
    homes = cycle(workspaces)
    done = 0

    async def register(number: int, kind: Machines, workspace: str) -> Seat:
        name, instance = f"load-{run}-{number}", str(uuid4())
        hostname = f"{name}.example.internal"
        body = {"name": name, "hostname": hostname, "version": "1.0.0", "instanceId": instance, "ephemeral": True}
        answer = await _persistently(lambda: caller.request("POST", "/api/machines", {"workspace": workspace}, body))
        machine = Seeded(str(answer["machine"]["id"]), instance, name, hostname)
        return _seat(machine, str(answer["machineToken"]), kind)

    for start in range(0, len(kinds), AT_ONCE):
        some = enumerate(kinds[start : start + AT_ONCE], start)
        for seat in await asyncio.gather(*(register(number, kind, next(homes)) for number, kind in some)):
            done += 1
            yield seat
        tell(done)


async def _persistently(call: Callable[[], Awaitable[Any]]) -> Any:
    """Its answer; asked again while the relay says "not now". Registering an instance again finds the same machine."""
    for left in reversed(range(TRIES)):
        try:
            return await call()
        except Unavailable:
            if not left:
                raise
            await asyncio.sleep(AGAIN_SECONDS)
    raise AssertionError("unreachable")
