"""Tests what a machine remembers of its sessions across restarts, on a real SQLite file."""

from __future__ import annotations

import json
import sqlite3
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from relay.agent import archive, history
from relay.agent.history import Entry, History
from relay.agent.ring import Ring
from relay.errors import Misconfigured
from relay.rules import frames, ids, messages
from relay.rules.frames import Kind
from relay.rules.messages import Session
from tests.agent.scene import EPOCH, RAW, SESSION, header


@asynccontextmanager
async def opened(path: Path, now: float = EPOCH) -> AsyncIterator[History]:
    kept = History(path)
    await kept.open(now)
    try:
        yield kept
    finally:
        await kept.close()


def session(id: str = SESSION, **rest: object) -> Session:
    return messages.checked(Session, {"id": id, "epoch": EPOCH, "kind": "terminal", "startedAt": EPOCH, **rest})


def entry(described: Session, *texts: bytes) -> Entry:
    ring = Ring(ids.raw(described.id), described.epoch)
    for text in texts:
        ring.append(Kind.OUTPUT, text)
    return Entry(described, ring.since(0), 1)


async def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "history.sqlite3"
    async with opened(path) as kept:
        await kept.keep([entry(session(), b"text")], EPOCH)
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert set(modes.values()) == {0o600}
    assert len(modes) == 3  # the file, its log and its shared memory


async def test_a_session_that_was_live_when_the_agent_died_is_over(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite3"
    async with opened(path) as kept:
        await kept.keep([entry(session(title="bash"), b"text")], EPOCH + 7)
    async with opened(path, EPOCH + 1000) as kept:
        (found,) = await kept.sessions(10)
    assert (found.title, found.ended, found.ended_at) == ("bash", "agent-restarted", EPOCH + 7)


async def test_a_session_that_had_ended_is_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite3"
    ended = session(endedAt=EPOCH + 5, exitCode=3, ended="exit", columns=100, rows=50)
    async with opened(path) as kept:
        await kept.keep([entry(session())], EPOCH)
        await kept.keep([entry(ended)], EPOCH + 6)
    async with opened(path, EPOCH + 1000) as kept:
        assert await kept.sessions(10) == [ended]


async def test_no_two_agent_processes_have_the_same_epoch(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite3"
    async with opened(path) as kept:
        await kept.keep([entry(session())], EPOCH)
    again = History(path)
    assert await again.open(EPOCH + 0.5) == EPOCH + 1
    await again.close()


async def test_only_the_tail_of_the_output_is_kept(tmp_path: Path) -> None:
    ring = Ring(RAW, EPOCH)
    frame = [ring.append(Kind.OUTPUT, str(number).encode()) for number in range(6)]
    async with opened(tmp_path / "history.sqlite3") as kept:
        await kept.keep([Entry(session(), frame[:4], 1)], EPOCH)
        await kept.keep([Entry(session(), frame[4:], 4)], EPOCH)
        found = await kept.session(SESSION)
    assert found is not None
    assert found[1] == frame[3:]


async def test_what_is_written_twice_is_there_once(tmp_path: Path) -> None:
    async with opened(tmp_path / "history.sqlite3") as kept:
        for _ in range(2):
            await kept.keep([entry(session(), b"a", b"b")], EPOCH)
        found = await kept.session(SESSION)
    assert found is not None
    assert [frames.payload(frame) for frame in found[1]] == [b"a", b"b"]


async def test_of_too_many_sessions_the_oldest_go_with_their_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "KEPT_SESSIONS", 2)
    path = tmp_path / "history.sqlite3"
    named = [session(ids.make(bytes([n]) * 16), startedAt=EPOCH + n, endedAt=EPOCH + n, ended="exit") for n in range(4)]
    async with opened(path) as kept:
        await kept.keep([entry(described, b"text") for described in named], EPOCH)
        assert [found.id for found in await kept.sessions(10)] == [named[3].id, named[2].id]
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT count(*) FROM output").fetchone() == (2,)
    database.close()


async def test_nobody_knows_a_session_that_never_was(tmp_path: Path) -> None:
    async with opened(tmp_path / "history.sqlite3") as kept:
        assert await kept.session(SESSION) is None


async def test_a_file_that_cannot_be_used_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite3"
    path.write_bytes(b"not a database" * 100)
    broken = History(path)
    with pytest.raises(Misconfigured, match="cannot be used for the history"):
        await broken.open(EPOCH)
    await broken.close()


def test_a_ring_from_the_history_ends_with_an_exit() -> None:
    kept = entry(session(), b"one", b"two").frames
    ring = archive.ring_of(session(ended="agent-restarted", endedAt=EPOCH), kept[1:])
    assert (ring.first, ring.head) == (2, 3)
    assert frames.payload(ring.frame(2)) == b"two"
    assert json.loads(frames.payload(ring.frame(3))) == {"code": None, "signal": None, "reason": "agent-restarted"}


def test_an_exit_that_was_kept_stays_the_last_frame() -> None:
    ring = Ring(RAW, EPOCH)
    ring.append(Kind.OUTPUT, b"text", frames.STDERR)
    ring.append(Kind.EXIT, b"{}")
    again = archive.ring_of(session(), ring.since(0))
    assert again.since(0) == ring.since(0)


def test_a_ring_from_the_history_has_no_hole() -> None:
    kept = entry(session(), b"one", b"two", b"three").frames
    ring = archive.ring_of(session(), [kept[0], kept[2]])
    assert [header(frame).sequence for frame in ring.since(0)] == [3, 4]


def test_a_session_without_any_output_kept_is_an_exit_alone() -> None:
    ring = archive.ring_of(session(ended="agent-restarted"), [])
    assert [header(frame).kind for frame in ring.since(0)] == [Kind.EXIT]
