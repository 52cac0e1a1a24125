"""Starts the Redis-compatible server of `relay dev` by itself, for whoever needs no node beside it."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from loadtests.bench.affinity import starting_on
from loadtests.bench.contender import NotMeasured
from loadtests.servers import say
from relay.dev.engine import Program, answers, choose_endpoint, find_engine, write_configuration
from relay.dev.part import Part
from relay.dev.supervisor import Supervisor
from relay.errors import Misconfigured


class Engine(NamedTuple):
    """A server that runs."""

    url: str
    pid: int


@asynccontextmanager
async def running_engine(core: int | None) -> AsyncIterator[Engine]:
    """One on this core, in a folder that is thrown away."""
    with tempfile.TemporaryDirectory(prefix="relay-engine-") as path, starting_on(core):
        async with Supervisor(Path(path), say) as supervisor:
            url = await start_engine(supervisor, Path(path))
            yield Engine(url, supervisor.pids["engine"])


async def start_engine(supervisor: Supervisor, folder: Path) -> str:
    """Start it with the configuration of a cluster of ours; its URL. Raises `NotMeasured` where there is none."""
    program = _program()
    endpoint = choose_endpoint(folder)
    command = (str(program.path), str(write_configuration(folder, endpoint)))
    ready = lambda: answers(endpoint)  # noqa: E731 - one line where a function would need a name
    await supervisor.start(Part("engine", command, dict(os.environ), ready, orphan_signal=signal.SIGTERM))
    return endpoint.url


def engine_version() -> str:
    """What it calls itself, with its version."""
    said = subprocess.run([_program().path, "--version"], capture_output=True, text=True, check=True).stdout
    return " ".join(said.split()[:3])


def _program() -> Program:
    try:
        found = find_engine({})  # not RELAY_REDIS_URL: the benchmark writes what it likes into its own
    except Misconfigured as error:
        raise NotMeasured(error.message) from None
    assert isinstance(found, Program)
    return found
