"""Tests what people see of real programs that write a lot, when they come, fall behind, and come back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relay.agent.flow import UNATTENDED_SECONDS
from relay.rules import frames, limits, timing
from relay.rules.messages import After
from tests.agent.machine import Machine, Visitor, machine

COUNT_FOR_EVER = "i=0; while :; do i=$((i+1)); echo line $i; done"


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Machine]:
    async with machine(tmp_path) as made:
        yield made


def lines_are_complete(text: bytes) -> int:
    """Check that lines count up without a hole; how many there are."""
    lines = text.replace(b"\r", b"").split(b"\n")[:-1]
    assert lines == [b"line %d" % number for number in range(1, len(lines) + 1)]
    return len(lines)


async def test_a_session_outlives_its_visitors_and_is_found_again_as_it_is(here: Machine) -> None:
    jane = await here.visit(kind="terminal")
    jane.type(b"word=hello\n")
    await here.outlet.until(lambda: jane.acknowledged == 1)
    jane.leave(dropped=True)
    found = jane.come_back(2)
    assert found.recovered
    assert found.driver
    assert found.input == 1
    jane.type(b"echo $word there\n")
    await jane.sees(b"hello there\r\n")


async def test_under_continuous_output_every_return_gets_the_exact_rest(here: Machine) -> None:
    jane = await here.visit("/bin/sh", "-c", COUNT_FOR_EVER, kind="terminal")
    for number in range(2, 12):
        seen = jane.screen.last
        await here.outlet.until(lambda seen=seen: jane.screen.last > seen + 5)  # type: ignore[misc]
        if number % 2:
            jane.leave(dropped=True)
        else:
            here.sessions.disconnected()
        written = len(jane.screen.text)
        assert jane.come_back(number).recovered
        await here.outlet.until(lambda written=written: len(jane.screen.text) > written)  # type: ignore[misc]
    assert lines_are_complete(jane.screen.text) > 50


async def test_a_second_visitor_gets_the_whole_ring_and_then_the_same_as_everybody(here: Machine) -> None:
    jane = await here.visit("/bin/sh", "-c", "echo one; read x; echo two", kind="terminal")
    await jane.sees(b"one\r\n")
    joe = Visitor(here, jane.session, 2)
    found = joe.attach(mode="watch")
    assert (found.first, found.recovered, found.driver) == (1, True, False)
    jane.type(b"\n")
    await joe.sees(b"two\r\n")
    assert joe.screen.text == jane.screen.text


async def test_who_has_more_than_there_is_starts_afresh(here: Machine) -> None:
    jane = await here.visit("/bin/sh", "-c", "echo one; read x", kind="terminal")
    await jane.sees(b"one")
    joe = Visitor(here, jane.session, 2)
    assert not joe.attach(after=After(epoch=jane.session.epoch, sequence=99)).recovered
    assert not joe.attach(after=After(epoch=jane.session.epoch - 1, sequence=0)).recovered


async def test_yes_waits_for_its_driver_and_memory_stays_bounded(here: Machine) -> None:
    jane = await here.visit("yes", kind="terminal")
    jane.reports = False
    ring = await here.writes(jane.session, limits.DRIVER_WINDOW_BYTES + 1)
    stalled_at = ring.end
    await here.meanwhile()  # `yes` writes megabytes in that time
    assert ring.end == stalled_at <= limits.DRIVER_WINDOW_BYTES + limits.CHUNK_BYTES + frames.HEADER_BYTES
    jane.report()
    await here.outlet.until(lambda: ring.end > stalled_at)


async def test_a_dropped_driver_is_waited_for_as_long_as_it_keeps_the_keyboard(here: Machine) -> None:
    jane = await here.visit("yes", kind="terminal")
    jane.reports = False
    ring = await here.writes(jane.session, limits.DRIVER_WINDOW_BYTES + 1)
    jane.leave(dropped=True)
    stalled_at = ring.end
    await here.meanwhile()
    assert ring.end == stalled_at
    here.pass_by(timing.DRIVER_KEPT_SECONDS)
    await here.writes(jane.session, stalled_at + 2 * limits.RING_BYTES)
    assert ring.end - ring.base <= limits.RING_BYTES


async def test_a_driver_whose_node_is_away_holds_up_nobody_who_watches_and_keeps_the_keyboard(here: Machine) -> None:
    """It comes back to a gap that is said, as whoever was too slow does, and types on."""
    jane = await here.visit("yes", kind="terminal")
    jane.reports = False
    ring = await here.writes(jane.session, limits.DRIVER_WINDOW_BYTES + 1)
    joe = Visitor(here, jane.session, 2)
    joe.attach()
    jane.leave(dropped=True, away=True)
    await here.writes(jane.session, ring.end + limits.RING_BYTES)
    seen = joe.screen.last
    await here.outlet.until(lambda: joe.screen.last > seen + 10)
    assert not joe.drives
    here.pass_by(timing.DRIVER_KEPT_SECONDS - 1)
    assert not jane.come_back(3).recovered
    assert jane.drives
    stalled_at = ring.end
    await here.meanwhile()
    assert ring.end <= stalled_at + limits.DRIVER_WINDOW_BYTES + limits.CHUNK_BYTES, "she is waited for again"


async def test_a_driver_whose_node_is_away_is_waited_for_as_long_as_nobody_else_is_there(here: Machine) -> None:
    jane = await here.visit("yes", kind="terminal")
    jane.reports = False
    ring = await here.writes(jane.session, limits.DRIVER_WINDOW_BYTES + 1)
    jane.leave(dropped=True, away=True)
    stalled_at = ring.end
    await here.meanwhile()
    assert ring.end == stalled_at
    joe = Visitor(here, jane.session, 2)
    joe.attach(mode="watch")
    await here.writes(jane.session, stalled_at + limits.RING_BYTES)


async def test_a_watcher_whose_node_is_away_changes_nothing_for_the_driver(here: Machine) -> None:
    jane = await here.visit("yes", kind="terminal")
    jane.reports = False
    joe = Visitor(here, jane.session, 2)
    joe.attach(mode="watch")
    ring = await here.writes(jane.session, limits.DRIVER_WINDOW_BYTES + 1)
    joe.leave(dropped=True, away=True)
    stalled_at = ring.end
    await here.meanwhile()
    assert ring.end == stalled_at
    assert jane.drives


async def test_a_slow_watcher_is_told_that_it_is_behind_and_stalls_nobody(here: Machine) -> None:
    jane = await here.visit("yes", kind="terminal")
    joe = Visitor(here, jane.session, 2)
    joe.reports = False
    joe.attach(mode="watch")
    await here.outlet.until(lambda: joe.behind)
    seen = jane.screen.last
    await here.outlet.until(lambda: jane.screen.last > seen + 10)
    assert not jane.behind
    joe.reports = True
    joe.attach(mode="watch", after=After(epoch=joe.session.epoch, sequence=joe.screen.last))
    await joe.sees(b"y\r\ny\r\n")


async def test_a_full_connection_holds_up_what_is_watched_until_it_has_room(here: Machine) -> None:
    jane = await here.visit("yes", kind="terminal")
    await jane.sees(b"y")
    here.outlet.pressed = True
    here.sessions.pressed()
    ring = here.sessions.find(jane.session.id).ring
    stalled_at = ring.end
    await here.meanwhile()
    assert ring.end == stalled_at
    here.outlet.pressed = False
    here.sessions.pressed()
    await here.outlet.until(lambda: ring.end > stalled_at)


async def test_a_command_loses_nothing_however_late_its_reader_comes_within_ten_minutes(here: Machine) -> None:
    session = await here.open("seq", "1", "400000")
    ring = await here.writes(session, limits.RING_BYTES - 4 * limits.CHUNK_BYTES)
    await here.meanwhile()
    assert ring.first == 1
    here.pass_by(UNATTENDED_SECONDS - 1)
    jane = Visitor(here, session, 1)
    jane.attach(after=After(epoch=session.epoch, sequence=0))
    assert (await jane.sees_the_end())["code"] == 0
    assert jane.screen.text == b"".join(b"%d\n" % number for number in range(1, 400_001))


async def test_a_command_that_nobody_ever_attaches_to_ends_and_says_why(here: Machine) -> None:
    """It waits for input that nobody is there to type."""
    session = await here.open("cat")
    here.pass_by(UNATTENDED_SECONDS + 1)
    assert (await here.ended(session)).ended == "unattended"


async def test_a_command_whose_reader_makes_no_progress_ends_after_a_minute(here: Machine) -> None:
    jane = await here.visit("yes")
    jane.reports = False
    await here.writes(jane.session, limits.RING_BYTES - 2 * (limits.CHUNK_BYTES + frames.HEADER_BYTES))
    here.pass_by(timing.LOSSLESS_STALL_SECONDS + 1)
    assert (await here.ended(jane.session)).ended == "stalled"
