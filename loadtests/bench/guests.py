"""Prepares peers for a storm: machines that the registry and Redis know already, and browsers of one person."""

from __future__ import annotations

import json
import resource
from random import Random

from loadtests.bench import wire
from loadtests.bench.relaying import Relay
from loadtests.bench.storm import Guest
from loadtests.seeding import Seeded, invent, kept_alive, write_rows
from relay import PROTOCOL

OPEN_FILES = 20_000  # enough for the largest scenario on both sides, and what a careful system allows


def allow_open_files() -> None:
    """Let this process, and the servers that it starts, hold as many sockets as the scenarios need."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES if hard < 0 else min(OPEN_FILES, hard), hard))


async def agents(relay: Relay, count: int) -> list[Guest]:
    """Agents that have said hello before: their first one would settle their registration in SQL, and that happens
    once in a machine's life."""
    servers = relay.servers
    fleet = [machine._replace(name=f"guest-{machine.name}") for machine in invent(count, Random(2))]
    await write_rows(servers.database_url, servers.workspace, fleet)
    async with kept_alive(servers.redis_url, servers.database_url, servers.workspace, fleet):
        pass  # announced once is enough
    return [_guest(relay, "agent", relay.token(machine), _agent_hello(machine)) for machine in fleet]


def browsers(relay: Relay, count: int) -> list[Guest]:
    """So many pages of one person."""
    token = relay.servers.token
    return [
        _guest(relay, "browser", token, {"type": "hello", "client": f"generator-{number}"}) for number in range(count)
    ]


def _agent_hello(machine: Seeded) -> dict[str, object]:
    return {"type": "hello", "instance": machine.instance, "hostname": machine.hostname, "version": "1.0.0", "pid": 1}


def _guest(relay: Relay, role: str, token: str, hello: dict[str, object]) -> Guest:
    port = relay.port(0)
    request = wire.upgrade(f"127.0.0.1:{port}", f"/ws/{role}", {"Authorization": f"Bearer {token}"}, [PROTOCOL])
    return Guest(port, request, wire.from_client(json.dumps(hello).encode(), wire.TEXT))
