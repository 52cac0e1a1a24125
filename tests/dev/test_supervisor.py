"""Tests of the supervisor with small programs as parts: order, repairs, endings, and that nothing stays behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from relay.dev import supervisor as supervising
from relay.dev.part import LINE_BYTES, Part
from relay.dev.supervisor import Supervisor
from relay.errors import Exit, Misconfigured, Unavailable
from tests.support.processes import alive, gone


class Screen:
    """What was said, and an event per line."""

    def __init__(self) -> None:
        self.lines: asyncio.Queue[str] = asyncio.Queue()

    def say(self, name: str, sentence: str) -> None:
        self.lines.put_nowait(f"{name} {sentence}")

    async def until(self, words: str) -> str:
        async with asyncio.timeout(10):
            while words not in (line := await self.lines.get()):
                pass
        return line


def part(name: str, program: str, ready: Callable[[], Awaitable[bool]] | None = None, final: int | None = None) -> Part:
    command = (sys.executable, "-I", "-S", "-c", program)
    finals = frozenset() if final is None else frozenset({final})
    known = Part(name, command, dict(os.environ), final=finals)
    return known if ready is None else Part(name, command, dict(os.environ), ready, finals)


def there(path: Path) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return await asyncio.to_thread(path.exists)

    return look


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervising, "PAUSES_SECONDS", (0.01,))


async def test_parts_stop_in_the_reverse_order_of_their_start(tmp_path: Path) -> None:
    program = """
import signal, sys, pathlib
name = sys.argv[1] if len(sys.argv) > 1 else {name!r}
def end(*_):
    with open({log!r}, "a") as file: file.write(name + " ")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
pathlib.Path({ready!r}).touch()
signal.pause()
"""
    log = tmp_path / "order"
    async with Supervisor(tmp_path, Screen().say) as supervisor:
        for name in ("engine", "node", "agent"):
            ready = tmp_path / f"{name}.ready"
            source = program.format(name=name, log=str(log), ready=str(ready))
            await supervisor.start(part(name, source, there(ready)))
    assert log.read_text() == "agent node engine "


async def test_a_crashed_part_starts_again(tmp_path: Path) -> None:
    screen, mark = Screen(), tmp_path / "second"
    program = f"""
import pathlib, signal, os
mark = pathlib.Path({str(mark)!r})
if mark.exists(): signal.pause()
mark.touch()
os.kill(os.getpid(), signal.SIGKILL)
"""
    async with Supervisor(tmp_path, screen.say) as supervisor:
        await supervisor.start(part("node-1", program))
        assert "node-1 stopped (signal 9), again in 0.01 s" in await screen.until("again")


async def test_a_part_that_cannot_be_configured_ends_everything_with_its_own_words(tmp_path: Path) -> None:
    program = f"print('relay: RELAY_PORT is wrong'); raise SystemExit({int(Exit.CONFIGURATION)})"
    async with Supervisor(tmp_path, Screen().say) as supervisor:
        with pytest.raises(Misconfigured, match="node-1: RELAY_PORT is wrong"):
            await supervisor.start(part("node-1", program, there(tmp_path / "never"), final=Exit.CONFIGURATION))
    assert (tmp_path / "node-1.log").read_text() == "node-1 | relay: RELAY_PORT is wrong\n"


async def test_a_part_that_ends_by_itself_stays_away_and_the_rest_goes_on(tmp_path: Path) -> None:
    screen = Screen()
    async with Supervisor(tmp_path, screen.say) as supervisor:
        await supervisor.start(part("agent", "print('revoked')", final=0))
        assert await screen.until("ended") == "agent ended (exit 0): revoked"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(supervisor.run(), 0.05)


async def test_a_part_that_fails_later_for_good_ends_the_wait(tmp_path: Path) -> None:
    go = tmp_path / "go"
    program = f"""
import os, time
while not os.path.exists({str(go)!r}): time.sleep(0.01)
raise SystemExit({int(Exit.CONFIGURATION)})
"""
    async with Supervisor(tmp_path, Screen().say) as supervisor:
        await supervisor.start(part("node-1", program, final=Exit.CONFIGURATION))
        go.touch()
        with pytest.raises(Misconfigured, match="node-1: exit 78"):
            await asyncio.wait_for(supervisor.run(), 10)


async def test_a_part_that_never_gets_ready_is_said_to_be_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervising, "READY_SECONDS", 0.1)
    async with Supervisor(tmp_path, Screen().say) as supervisor:
        with pytest.raises(Unavailable, match=r"node-1 was not ready within .*node-1\.log"):
            await supervisor.start(part("node-1", "import signal; signal.pause()", there(tmp_path / "never")))


async def test_a_deaf_part_is_killed_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.dev.part.STOP_SECONDS", 0.1)
    mark = tmp_path / "pid"
    program = f"""
import signal, os, pathlib
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path({str(tmp_path / "new")!r}).write_text(str(os.getpid()))
os.rename({str(tmp_path / "new")!r}, {str(mark)!r})
while True: signal.pause()
"""
    async with Supervisor(tmp_path, Screen().say) as supervisor:
        await supervisor.start(part("node-1", program, there(mark)))
        pid = int(mark.read_text())
        assert alive(pid)
    assert not alive(pid)


async def test_a_grandchild_that_holds_the_log_open_does_not_hide_the_end_of_its_parent(tmp_path: Path) -> None:
    screen, mark = Screen(), tmp_path / "child"
    program = f"""
import subprocess, pathlib
child = subprocess.Popen(["sleep", "60"], start_new_session=True)
pathlib.Path({str(mark)!r}).write_text(str(child.pid))
"""
    async with Supervisor(tmp_path, screen.say) as supervisor:
        await supervisor.start(part("agent", program, final=0))
        await screen.until("ended")
    os.kill(int(mark.read_text()), signal.SIGKILL)


async def test_a_line_longer_than_any_limit_is_kept(tmp_path: Path) -> None:
    screen = Screen()
    async with Supervisor(tmp_path, screen.say) as supervisor:
        await supervisor.start(part("agent", f"print('x' * {3 * LINE_BYTES})", final=0))
        await screen.until("ended")
    assert (tmp_path / "agent.log").read_text().count("x") == 3 * LINE_BYTES


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent died")
def test_killing_the_supervisor_leaves_no_part_behind(tmp_path: Path) -> None:
    program = f"""
import asyncio, os, sys
from pathlib import Path
from relay.dev.part import Part
from relay.dev.supervisor import Supervisor

async def main():
    async with Supervisor(Path({str(tmp_path)!r}), lambda *words: None) as supervisor:
        child = "import os, signal; print(os.getpid(), flush=True); signal.pause()"
        for name in ("one", "two"):
            await supervisor.start(Part(name, (sys.executable, "-c", child), dict(os.environ), ready=seen(name)))
        print("ready", flush=True)
        await asyncio.sleep(60)

def seen(name):
    async def look():
        path = Path({str(tmp_path)!r}) / f"{{name}}.log"
        return path.exists() and path.read_text().endswith("\\n")
    return look

asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "ready\n"
        pids = [int((tmp_path / f"{name}.log").read_text().split("|")[1]) for name in ("one", "two")]
        assert all(alive(pid) for pid in pids)
        parent.kill()
    assert gone(pids, within_seconds=5)
