"""Tests what people type into real programs, who may, and that it counts once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relay.rules import frames, limits, timing
from relay.rules.agent_messages import SessionChanged
from relay.rules.frames import Kind
from relay.rules.messages import DriverChanged, Take
from tests.agent.machine import Machine, Visitor, machine


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Machine]:
    async with machine(tmp_path) as made:
        yield made


async def test_a_command_reads_what_is_typed_until_its_end(here: Machine) -> None:
    jane = await here.visit("wc", "-c")
    for _ in range(8):
        jane.type(bytes(limits.INPUT_WINDOW_BYTES // 8))
    jane.type(b"", kind=Kind.END_INPUT)
    await jane.sees_the_end()
    assert jane.screen.text.split() == [str(limits.INPUT_WINDOW_BYTES).encode()]
    assert jane.acknowledged == 9


async def test_input_that_is_sent_again_is_applied_once(here: Machine) -> None:
    jane = await here.visit("cat")
    jane.type(b"a")
    jane.type(b"b")
    jane.leave(dropped=True)
    assert jane.come_back(2).input == 2
    jane.acknowledged = 0
    jane.type(b"b", number=2)
    await here.outlet.until(lambda: jane.acknowledged == 2)
    for number, text in enumerate((b"a", b"b", b"c", b"c"), 1):
        jane.type(text, number=min(number, 3))
    jane.send(Kind.END_INPUT, 4)
    await jane.sees_the_end()
    assert jane.screen.text == b"abc"


async def test_input_behind_a_hole_is_not_applied(here: Machine) -> None:
    jane = await here.visit("cat")
    jane.type(b"a", number=1)
    jane.type(b"c", number=3)
    jane.type(b"b", number=2)
    jane.send(Kind.END_INPUT, 3)
    await jane.sees_the_end()
    assert jane.screen.text == b"ab"


async def test_input_is_acknowledged_when_it_is_taken_and_refused_beyond_all_measure(here: Machine) -> None:
    jane = await here.visit("sleep", "60")
    for _ in range(4):
        jane.type(bytes(limits.INPUT_WINDOW_BYTES // 2))
    assert jane.acknowledged < 4  # the pipe took one or two of them
    refused = jane.type(bytes(3 * limits.INPUT_WINDOW_BYTES))
    assert [(refusal.sequence, refusal.reason) for refusal in jane.refusals] == [(refused, "too-much-input")]


async def test_what_has_no_bytes_is_gathered_in_one_acknowledgement_while_nothing_is_read(here: Machine) -> None:
    jane = await here.visit("sleep", "60")
    for _ in range(4):
        jane.type(bytes(limits.INPUT_WINDOW_BYTES // 2))  # more than the pipe takes
    before, waiting = jane.acknowledged, len(here.outlet.frames)
    for number in range(5, 1_005):
        jane.send(Kind.RESIZE, number, frames.SIZE.pack(80, 24))
        jane.send(Kind.INPUT, 1)
    assert (jane.acknowledged, len(here.outlet.frames)) == (before, waiting)
    await here.sessions.end(jane.session.id)
    acknowledged = [frame for frame in here.outlet.frames[waiting:] if frame[0] == Kind.ACK]
    assert jane.acknowledged == 1_004
    assert len(acknowledged) <= 4


async def test_a_watchers_input_is_refused_and_its_number_stays_free(here: Machine) -> None:
    jane = await here.visit("cat")
    joe = Visitor(here, jane.session, 2)
    joe.attach()
    assert not joe.drives
    joe.type(b"x", number=1)
    joe.type(b"y", number=2)
    assert [(refusal.sequence, refusal.reason) for refusal in joe.refusals] == [(1, "not-driver")]
    here.sessions.take(Take(session=jane.session.id, attachment=2))
    assert joe.drives
    assert not jane.drives
    joe.type(b"z", number=1)
    await joe.sees(b"z")
    jane.type(b"late")
    assert [refusal.reason for refusal in jane.refusals] == ["not-driver"]
    assert joe.screen.text == b"z"


async def test_who_only_watches_does_not_get_a_free_keyboard_by_typing(here: Machine) -> None:
    jane = await here.visit("cat")
    joe, ann = Visitor(here, jane.session, 2), Visitor(here, jane.session, 3)
    joe.attach(mode="watch")
    ann.attach()
    jane.leave()
    joe.type(b"x")
    assert [refusal.reason for refusal in joe.refusals] == ["not-driver"]
    ann.type(b"y")
    assert ann.drives
    await ann.sees(b"y")


async def test_a_keyboard_is_kept_for_who_was_dropped_and_then_free(here: Machine) -> None:
    jane = await here.visit("cat")
    joe = Visitor(here, jane.session, 2)
    joe.attach()
    jane.leave(dropped=True)
    joe.type(b"x", number=1)
    assert len(joe.refusals) == 1
    here.pass_by(timing.DRIVER_KEPT_SECONDS)
    assert here.outlet.told(DriverChanged)[-1] == DriverChanged(session=jane.session.id, attachment=0, term=1)
    joe.type(b"x", number=1)
    assert joe.drives
    found = jane.come_back(3)
    assert not found.driver


async def test_the_drivers_window_is_the_terminals_size_and_everybody_hears_of_it_in_order(here: Machine) -> None:
    jane = await here.visit("/bin/sh", "-c", "while read x; do stty size; done", kind="terminal")
    joe = Visitor(here, jane.session, 2)
    joe.attach(size=(200, 60))
    jane.type(frames.SIZE.pack(100, 40), kind=Kind.RESIZE)
    jane.type(b"\n")
    await joe.sees(b"40 100\r\n")
    resized = [frame for frame in here.outlet.frames if frame[0] == Kind.RESIZED]
    assert [frames.payload(frame) for frame in resized] == [frames.SIZE.pack(100, 40)]
    joe.type(frames.SIZE.pack(120, 50), kind=Kind.RESIZE)  # noted, not applied and not refused
    assert joe.refusals == []
    assert here.described(jane.session).columns == 100
    here.sessions.take(Take(session=jane.session.id, attachment=2))
    assert here.described(jane.session).columns == 120
    here.pass_by(1)
    assert here.outlet.told(SessionChanged)[-1].session.columns == 120


async def test_a_returning_driver_brings_its_size(here: Machine) -> None:
    jane = await here.visit("/bin/sh", "-c", "read x; stty size", kind="terminal")
    jane.leave(dropped=True)
    found = Visitor(here, jane.session, 2, jane.client).attach(size=(90, 30))
    assert (found.columns, found.rows) == (90, 30)


@pytest.mark.parametrize("payload", [b"", b"\0\1", frames.SIZE.pack(0, 10), frames.SIZE.pack(10, 5000)])
async def test_sizes_that_no_window_has_change_nothing(here: Machine, payload: bytes) -> None:
    jane = await here.visit("/bin/sh", "-c", "read x", kind="terminal")
    jane.type(payload, kind=Kind.RESIZE)
    assert here.described(jane.session).columns == 80


async def test_nobody_types_into_what_has_ended(here: Machine) -> None:
    jane = await here.visit("true")
    await here.ended(jane.session)
    jane.type(b"x")
    assert [refusal.reason for refusal in jane.refusals] == ["ended"]
