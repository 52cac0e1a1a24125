"""Tests sessions through the relay: cut off, come back, restarted."""

from __future__ import annotations

from typing import Any

from relay.rules import frames, ids
from relay.rules.agent_messages import SessionChanged
from relay.rules.frames import Kind
from relay.rules.messages import Attached, Attaching
from tests.agent.node import Node
from tests.agent.scene import Screen
from tests.agent.served import Served, attach_to, browser_frame, open_session


async def test_a_person_types_into_a_shell_through_the_relay(agent: Served, one: Node) -> None:
    visit = await one.visit()
    session = await open_session(visit, kind="terminal")
    place = [type(item).__name__ for item in visit.order]
    assert place.index("SessionChanged") < place.index("Answer")
    await visit.tell(attach_to(session))
    await visit.give(browser_frame(session, Kind.INPUT, 1, b"echo $((6*7))\n"))
    await visit.until(lambda: b"42\r\n" in b"".join(frames.payload(frame) for frame in visit.frames))
    assert any(frame[0] == Kind.ACK for frame in visit.frames)


async def test_cut_off_again_and_again_under_continuous_output_not_a_byte_is_lost_or_repeated(
    agent: Served, one: Node
) -> None:
    visit = await one.visit()
    session = await open_session(visit, "/bin/sh", "-c", "i=0; while :; do i=$((i+1)); echo line $i; done")
    screen = Screen()
    for number in range(2, 10):
        await visit.tell(attach_to(session, after=screen.last))
        for heard in range(6):
            await visit.until(lambda visit=visit, heard=heard: len(visit.order) > heard)  # type: ignore[misc]
            if screen.take(visit.order[heard]):
                await visit.give(browser_frame(session, Kind.SEEN, screen.last))
        visit.cut()
        visit = await one.visit(number)
        assert visit.hello is not None
        assert [told.id for told in visit.hello.sessions] == [session.id]
    lines = screen.text.split(b"\n")[:-1]
    assert len(lines) > 8
    assert lines == [b"line %d" % line for line in range(1, len(lines) + 1)]


async def test_input_sent_again_after_a_cut_is_applied_once(agent: Served, one: Node) -> None:
    visit = await one.visit()
    session = await open_session(visit, "cat")
    await visit.tell(attach_to(session))
    for number in (1, 2, 3):
        await visit.give(browser_frame(session, Kind.INPUT, number, b"%d" % number))
    await visit.until(lambda: any(frame[0] == Kind.ACK for frame in visit.frames))
    visit.cut()
    visit = await one.visit(2)
    await visit.tell(attach_to(session, attachment=5))
    applied = (await visit.hears(Attaching)).input
    assert 1 <= applied <= 3
    for number in range(1, 5):
        await visit.give(browser_frame(session, Kind.INPUT, number, b"%d" % number, attachment=5))
    await visit.give(browser_frame(session, Kind.END_INPUT, 5, attachment=5))
    await visit.until(lambda: any(frame[0] == Kind.EXIT for frame in visit.frames))
    screen = Screen(5)
    for item in visit.order:
        screen.take(item)
    assert screen.text == b"1234"


async def test_after_a_restart_old_sessions_are_history_that_can_be_read(agent: Served, one: Node) -> None:
    visit = await one.visit()
    session = await open_session(visit, "/bin/sh", "-c", "echo before; exec sleep 60")
    await visit.tell(attach_to(session))
    await visit.until(lambda: any(frame[0] == Kind.OUTPUT for frame in visit.frames))
    await agent.stopped()
    agent.start()
    visit = await one.visit(2)
    assert visit.hello is not None
    assert visit.hello.sessions == []
    answer = await visit.ask("sessions")
    assert answer.result is not None
    (found,) = answer.result["sessions"]
    assert (found["id"], found["ended"]) == (session.id, "agent-restarted")
    assert (await visit.hears(SessionChanged)).session.id == session.id
    await visit.tell(attach_to(session))
    await visit.hears(Attached)
    screen = Screen()
    for item in visit.order:
        screen.take(item)
    assert screen.text == b"before\n"
    assert screen.exit is not None


async def test_requests_that_cannot_be_served_are_answered_with_an_error(agent: Served, one: Node) -> None:
    visit = await one.visit()
    nobody = ids.make(bytes(16))
    wrong: list[tuple[str, dict[str, Any], str]] = [
        ("end", {"session": nobody}, "not-found"),
        ("end", {}, "invalid"),
        ("open", {"kind": "window"}, "invalid"),
        ("open", {"kind": "exec"}, "invalid"),
        ("open", {"kind": "exec", "command": ["true"], "directory": "/gone"}, "invalid"),
    ]
    for ref, (operation, body, code) in enumerate(wrong):
        answer = await visit.ask(operation, ref, **body)
        assert answer.error is not None
        assert answer.error["code"] == code


async def test_ended_through_the_relay_a_session_says_so(agent: Served, one: Node) -> None:
    visit = await one.visit()
    session = await open_session(visit, "sleep", "60")
    answer = await visit.ask("end", 2, session=session.id)
    assert answer.result is not None
    assert answer.result["session"]["ended"] == "killed"
    await visit.hears(SessionChanged, lambda change: change.session.ended == "killed")


async def test_a_relay_that_takes_nothing_does_not_fill_the_machines_memory(agent: Served, one: Node) -> None:
    visit = await one.visit()
    opened = [await open_session(visit, "yes") for _ in range(3)]
    for session in opened:
        await visit.tell(attach_to(session))
    visit.connection.transport.pause_reading()
    before = len(agent.clock.slept)
    await agent.clock.until(lambda: len(agent.clock.slept) > before + 40)
    visit.connection.transport.resume_reading()
    sent = sum(len(item) for item in visit.frames)
    assert sent < 3 * 2 * 1024 * 1024
