"""Tests the life of sessions with real programs: how they begin, how they end, and what is kept of them."""

from __future__ import annotations

import signal
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from relay.agent import sessions as module
from relay.agent.session import ENDED_KEPT_SECONDS
from relay.errors import Invalid, LimitReached, NotFound
from relay.rules import frames, ids, limits
from relay.rules.agent_messages import AgentDetach, AttachRefused, SessionChanged
from relay.rules.frames import Kind
from relay.rules.messages import After, Attaching, Session, Take
from tests.agent.machine import Machine, Visitor, machine


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Machine]:
    async with machine(tmp_path) as made:
        yield made


async def test_a_person_types_into_a_shell_and_reads_the_answer(here: Machine) -> None:
    jane = await here.visit(kind="terminal")
    jane.type(b"echo $((6*7))\n")
    await jane.sees(b"42\r\n")
    jane.type(b"exit 3\n")
    assert await jane.sees_the_end() == {"code": 3, "signal": None, "reason": None}
    ended = await here.ended(jane.session)
    assert (ended.exit_code, ended.ended) == (3, "exit")


async def test_the_shell_starts_at_home_with_a_locale_and_nothing_of_ours(here: Machine, tmp_path: Path) -> None:
    jane = await here.visit(kind="terminal")
    jane.type(b'echo "<$PWD|$LANG|$TERM|$RELAY_TOKEN>"\n')
    await jane.sees(f"<{tmp_path}|C.UTF-8|xterm-256color|>\r\n".encode())


async def test_a_command_has_its_own_words_folder_and_variables(here: Machine, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    words = ("/bin/sh", "-c", 'echo "$PWD $COLOUR $RELAY_TOKEN."')
    jane = await here.visit(*words, directory="src", environment={"COLOUR": "blue"})
    await jane.sees(f"{tmp_path}/src blue .\n".encode())


async def test_the_exit_is_the_last_numbered_frame_and_says_so_to_the_relay_afterwards(here: Machine) -> None:
    jane = await here.visit("/bin/sh", "-c", "echo out; exit 9")
    await here.ended(jane.session)
    said = [item for item in here.outlet.all if isinstance(item, bytes | SessionChanged)]
    assert isinstance(said[-1], SessionChanged)
    assert isinstance(said[-2], bytes)
    assert said[-2][0] == Kind.EXIT


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (("no-such-command",), 127, b"command not found: no-such-command"),
        (("/etc/passwd",), 126, b"cannot run /etc/passwd"),
        (("/bin/sh", "-c", "kill -TERM $$"), 128 + signal.SIGTERM, b""),
        (("false",), 1, b""),
    ],
)
async def test_a_command_ends_with_the_code_that_shells_use(
    here: Machine, words: tuple[str, ...], code: int, complaint: bytes
) -> None:
    jane = await here.visit(*words)
    assert (await jane.sees_the_end())["code"] == code
    assert complaint in jane.screen.text
    assert (await here.ended(jane.session)).exit_code == code


async def test_standard_error_is_marked(here: Machine) -> None:
    jane = await here.visit("/bin/sh", "-c", "echo bad >&2")
    await jane.sees_the_end()
    flags = [frame[1] for frame in here.outlet.frames if frame[0] == Kind.OUTPUT]
    assert flags == [frames.STDERR]


async def test_end_hangs_up_and_says_killed(here: Machine) -> None:
    jane = await here.visit("/bin/sh", kind="terminal")
    ended = await here.sessions.end(jane.session.id)
    assert ended.ended == "killed"
    assert (await jane.sees_the_end())["reason"] == "killed"


async def test_end_kills_what_does_not_want_to_end(here: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.agent.session.END_GRACE_SECONDS", 0.05)
    jane = await here.visit("/bin/sh", "-c", "trap '' HUP TERM; echo ready; while :; do sleep 0.1; done")
    await jane.sees(b"ready")
    ended = await here.sessions.end(jane.session.id)
    assert ended.exit_code == 128 + signal.SIGKILL


async def test_end_ends_also_what_is_held_up(here: Machine) -> None:
    jane = await here.visit("yes", kind="terminal")
    jane.reports = False
    await here.writes(jane.session, limits.DRIVER_WINDOW_BYTES + 1)
    assert (await here.sessions.end(jane.session.id)).ended == "killed"


async def test_a_session_that_ended_before_anybody_came_is_read_afterwards(here: Machine) -> None:
    session = await here.open("/bin/sh", "-c", "echo quick")
    await here.ended(session)
    await here.record()
    here.pass_by(ENDED_KEPT_SECONDS)
    jane = Visitor(here, session, 1)
    jane.attach(after=After(epoch=session.epoch, sequence=0))
    await jane.sees_the_end()
    assert jane.screen.text == b"quick\n"


async def test_a_session_that_only_the_history_has_is_read_from_there(here: Machine) -> None:
    session = await here.open("/bin/sh", "-c", "echo quick")
    await here.ended(session)
    here.pass_by(ENDED_KEPT_SECONDS + 1)
    assert here.sessions.remembered() != []  # not before it is written
    await here.record()
    here.pass_by(1)
    assert here.sessions.remembered() == []
    jane = Visitor(here, session, 1)
    jane.ask(mode="watch")
    await jane.sees_the_end()
    assert jane.screen.text == b"quick\n"


async def test_who_left_before_the_history_answered_gets_nothing(here: Machine) -> None:
    session = await here.open("true")
    await here.ended(session)
    await here.record()
    here.pass_by(ENDED_KEPT_SECONDS + 1)
    jane = Visitor(here, session, 1)
    jane.ask(mode="watch")
    jane.leave()
    for _ in range(2):
        await here.history.sessions(1)  # the one thread has answered what was asked before
    assert here.outlet.told(Attaching) == []


async def test_an_attach_to_what_even_the_history_has_dropped_is_refused_at_once(here: Machine) -> None:
    gone = Session(id="3c1f5a58-3bb6-4c0e-9a39-2f1f6d0c7a99", epoch=1, kind="terminal")
    Visitor(here, gone, 7).ask()
    await here.outlet.until(lambda: bool(here.outlet.told(AttachRefused)))
    refused = here.outlet.told(AttachRefused)[0]
    assert (refused.session, refused.attachment) == (gone.id, 7)
    assert "does not keep that session" in refused.message


async def test_a_history_that_cannot_be_read_costs_no_session_that_is_alive(here: Machine, tmp_path: Path) -> None:
    session = await here.open("true")
    await here.ended(session)
    await here.record()
    here.pass_by(ENDED_KEPT_SECONDS + 1)
    with sqlite3.connect(tmp_path / "history.sqlite3") as file:
        file.execute("DROP TABLE output")
    Visitor(here, session, 1).ask(mode="watch")
    with pytest.raises(sqlite3.Error):
        await here.history.session(session.id)  # the one thread has answered what was asked before
    jane = await here.visit("echo", "alive")
    await jane.sees(b"alive\n")


async def test_of_many_ended_sessions_only_some_stay_in_memory(here: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ENDED_KEPT", 2)
    opened = []
    for _ in range(4):
        opened.append(await here.open("true"))
        await here.ended(opened[-1])
        here.time.pass_by(1)
    await here.record()
    here.pass_by(1)
    assert {session.id for session in here.sessions.remembered()} == {session.id for session in opened[2:]}


async def test_what_is_announced_is_live_sessions_first(here: Machine) -> None:
    live = await here.open("sleep", "60")
    here.time.pass_by(1)
    over = await here.open("true")
    await here.ended(over)
    assert [session.id for session in here.sessions.announced()] == [live.id, over.id]


async def test_the_history_gets_what_is_new_and_only_that(here: Machine) -> None:
    jane = await here.visit("/bin/sh", "-c", "echo one; read x; echo two")
    await jane.sees(b"one")
    (entry,) = here.sessions.unwritten()
    assert [frames.payload(frame) for frame in entry.frames] == [b"one\n"]
    assert here.sessions.unwritten() == []
    jane.type(b"\n")
    await jane.sees_the_end()
    (entry,) = here.sessions.unwritten()
    assert frames.payload(entry.frames[0]) == b"two\n"
    assert entry.session.ended == "exit"


async def test_what_the_history_refused_is_written_with_what_comes_next(here: Machine) -> None:
    jane = await here.visit("/bin/sh", "-c", "echo one; read x; echo two")
    await jane.sees(b"one")
    here.sessions.not_written(here.sessions.unwritten())
    jane.type(b"\n")
    await jane.sees_the_end()
    (entry,) = entries = here.sessions.unwritten()
    assert [frames.payload(frame) for frame in entry.frames[:2]] == [b"one\n", b"two\n"]
    here.sessions.not_written(entries)
    await here.record()
    found = await here.history.session(jane.session.id)
    assert found is not None
    assert (found[0].ended, len(found[1])) == ("exit", 3)


async def test_a_history_that_takes_nothing_does_not_fill_the_memory(
    here: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "UNWRITTEN_KEPT", 2)
    for _ in range(4):
        await here.ended(await here.open("true"))
        here.sessions.not_written(here.sessions.unwritten())
        here.pass_by(1)
    assert len(here.sessions.remembered()) == 2


async def test_there_is_a_limit_on_live_sessions(here: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SESSIONS_PER_MACHINE", 2)
    for _ in range(2):
        await here.open("sleep", "60")
    with pytest.raises(LimitReached) as refused:
        await here.open("true")
    assert refused.value.extra == {"limit": "SESSIONS_PER_MACHINE"}


@pytest.mark.parametrize(
    ("words", "rest"),
    [
        ((), {}),
        (("",), {}),
        (("a\0b",), {}),
        (("true",), {"directory": "/gone"}),
        (("true",), {"environment": {"": "x"}}),
    ],
)
async def test_what_cannot_be_started_is_refused(here: Machine, words: tuple[str, ...], rest: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        await here.open(*words, **rest)
    assert here.sessions.remembered() == []


async def test_nothing_is_known_of_other_ids(here: Machine) -> None:
    with pytest.raises(NotFound):
        await here.sessions.end(ids.make(bytes(16)))
    here.sessions.detach(AgentDetach(session=ids.make(bytes(16)), attachment=1))
    here.sessions.take(Take(session=ids.make(bytes(16)), attachment=1))
    with pytest.raises(Invalid):
        here.sessions.frame(b"short")


async def test_titles_are_the_command_without_what_no_screen_shows(here: Machine) -> None:
    assert (await here.open("echo", "a\nb\x1b[31m")).title == "echo a b [31m"
    assert (await here.open("true", title="mine")).title == "mine"
    assert (await here.open(kind="terminal")).title == "sh"


async def test_many_sessions_end_together(here: Machine) -> None:
    opened = [await here.open("sleep", "60") for _ in range(5)]
    await here.sessions.end_all()
    assert {here.described(session).ended for session in opened} == {"agent-restarted"}
