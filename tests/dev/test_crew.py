"""Shows when a crew gives a node up and when it tries again, with programs in the place of nodes."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest
import structlog

from relay.dev import crew
from relay.dev.crew import Crew, Member
from relay.errors import Exit

LONGEST_SECONDS = 600.0  # between two tries: nobody here waits for it
PATIENCE_SECONDS = 60.0  # for programs to start and end: far above what they take
SERVES = "import signal, time; signal.signal(signal.SIGTERM, lambda *_: exit(0)); time.sleep(60)"
# Ends with the codes that a file has, one a line, at each start one.
ENDS = """
import os, pathlib, sys
file = pathlib.Path(sys.argv[1])
code, _, rest = file.read_text().partition("\\n")
file.write_text(rest)
os._exit(int(code))
"""


class Told:
    """What a crew logged: line by line, as it comes."""

    def __init__(self) -> None:
        self.lines: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    def __call__(self, _logger: Any, _method: str, line: MutableMapping[str, Any]) -> Any:
        self.lines.put_nowait(dict(line))
        raise structlog.DropEvent

    async def next_end(self) -> tuple[int, float]:
        """The code with which a node ended that starts again, and the pause before that."""
        while (line := await self.lines.get())["event"] != "a node behind this port ended and starts again":
            pass
        return line["code"], line["pause_seconds"]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    """Its log, and no pause but the longest."""
    monkeypatch.setattr(crew, "PAUSES_SECONDS", (0.0, LONGEST_SECONDS))
    found = Told()
    structlog.configure(processors=[found])
    yield found
    structlog.reset_defaults()


def members(folder: Path, codes: list[int]) -> list[Member]:
    """One worker that serves, and one that ends with these codes, one after the other."""
    file = folder / "codes"
    file.write_text("\n".join(map(str, codes)))
    commands = ((sys.executable, "-c", SERVES), (sys.executable, "-c", ENDS, str(file)))
    return [Member(number, command, dict(os.environ)) for number, command in enumerate(commands, 1)]


async def test_a_worker_that_ran_and_is_refused_later_takes_nobody_along(tmp_path: Path, told: Told) -> None:
    """It is tried again, but rarely; the others serve until the host is stopped."""
    with socket.socket() as shared:
        both = Crew(members(tmp_path, [Exit.FAILURE, Exit.CONFIGURATION]), shared, 0.0)
        async with asyncio.timeout(PATIENCE_SECONDS):
            running = asyncio.create_task(both.run())
            assert await told.next_end() == (Exit.FAILURE, 0.0)
            ended = asyncio.create_task(told.next_end())
            await asyncio.wait((running, ended), return_when=asyncio.FIRST_COMPLETED)
            assert not running.done()
            assert await ended == (Exit.CONFIGURATION, LONGEST_SECONDS)
            both.stop()
            assert await running == Exit.OK


async def test_settings_with_which_a_worker_never_ran_end_all(tmp_path: Path, told: Told) -> None:
    """Also where Redis let them wait first."""
    with socket.socket() as shared:
        both = Crew(members(tmp_path, [Exit.UNAVAILABLE, Exit.CONFIGURATION]), shared, 0.0)
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await both.run() == Exit.CONFIGURATION
    assert await told.next_end() == (Exit.UNAVAILABLE, 0.0)
