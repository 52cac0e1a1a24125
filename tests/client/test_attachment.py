"""Tests of staying attached: exact output and input applied once, over sockets that are lost and relays that err."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random

import pytest

from relay.client import events
from relay.client.attachment import Attachment, Manner, Target, attached
from relay.client.comeback import RETRY_SECONDS, RETURN_SPREAD_SECONDS
from relay.client.connection import Connection, Options, connected
from relay.errors import BadToken, Forbidden, MachineRevoked, NotFound, RelayError
from relay.rules import frames, limits
from relay.rules.browser_messages import Attach, Detach, ListSessions
from relay.rules.frames import Kind
from tests.client.small_relay import MACHINE, WORKSPACE, Shell, World, machine, small_relay


class Hasty(Random):
    """Never waits, so that tests do not."""

    def uniform(self, a: float, b: float) -> float:
        return a


class Screen:
    """Takes an attachment's events as a terminal would."""

    def __init__(self, attachment: Attachment) -> None:
        self.shown = bytearray()
        self.seen: list[events.Event] = []
        self.changed = asyncio.Event()
        self.task = asyncio.create_task(self._take(attachment))

    async def _take(self, attachment: Attachment) -> None:
        async for event in attachment.events():
            if isinstance(event, events.Output):
                self.shown += event.data
            else:
                self.seen.append(event)
            self.changed.set()

    async def until(self, wanted: Callable[[], bool]) -> None:
        """Wait for something that an event brings."""
        await until(self.changed, wanted)

    def saw(self, kind: type[events.Event]) -> bool:
        """Whether such an event came."""
        return any(isinstance(event, kind) for event in self.seen)


async def until(changed: asyncio.Event, wanted: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not wanted():
            changed.clear()
            await changed.wait()


@asynccontextmanager
async def at_shell(
    world: World, manner: Manner | None = None, shell: Shell | None = None
) -> AsyncIterator[tuple[Connection, Shell, Attachment, Screen]]:
    shell = shell or world.open()
    options = Options(random=Hasty(), client="client-1")
    async with (
        connected(world.urls, "token", options) as connection,
        attached(connection, Target(WORKSPACE, MACHINE, shell.id), manner, Hasty()) as attachment,
    ):
        screen = Screen(attachment)
        try:
            yield connection, shell, attachment, screen
        finally:
            screen.task.cancel()
            await asyncio.gather(screen.task, return_exceptions=True)


async def test_output_arrives_with_its_stream_and_ends_with_the_exit() -> None:
    async with small_relay() as world, at_shell(world) as (_, shell, _, screen):
        await world.publish(shell.id, Kind.OUTPUT, b"out")
        await world.publish(shell.id, Kind.OUTPUT, b"err", frames.STDERR)
        await world.publish(shell.id, Kind.RESIZED, frames.SIZE.pack(100, 40))
        await world.publish(shell.id, Kind.EXIT, b'{"code": 3, "signal": null, "reason": null}')
        await asyncio.wait_for(screen.task, 5)
        assert screen.shown == b"outerr"
        assert events.Resized(100, 40) in screen.seen
        assert screen.seen[-1] == events.Exited(3)


async def test_a_first_attach_gets_what_was_there_before() -> None:
    async with small_relay() as world:
        shell = world.open()
        shell.frame(Kind.OUTPUT, b"before ")
        async with at_shell(world, shell=shell) as (_, _, _, screen):
            await world.publish(shell.id, Kind.OUTPUT, b"after")
            await screen.until(lambda: screen.shown == b"before after")
            assert not screen.saw(events.Gap)


async def test_a_first_attach_that_gets_only_the_rest_says_so() -> None:
    """Whoever reads it would take its first line for the beginning."""
    async with small_relay() as world:
        shell = world.open()
        shell.frame(Kind.OUTPUT, b"long ago ")
        shell.frame(Kind.OUTPUT, b"before ")
        shell.first_kept = 2
        async with at_shell(world, shell=shell) as (_, _, _, screen):
            await screen.until(lambda: screen.shown == b"before ")
            assert events.Gap(beginning=True) in screen.seen


async def test_typed_bytes_are_applied_and_sizes_and_the_end_of_input_told() -> None:
    async with small_relay() as world, at_shell(world) as (_, shell, attachment, _):
        assert await attachment.write(b"x" * 100_000)
        await attachment.resize(120, 50)
        await attachment.end_input()
        await until(shell.changed, lambda: shell.input_ended)
        assert shell.typed == b"x" * 100_000
        assert shell.sizes == [(120, 50)]


async def test_what_was_shown_is_reported_as_seen() -> None:
    async with small_relay() as world, at_shell(world) as (_, shell, _, _):
        for _ in range(5):
            await world.publish(shell.id, Kind.OUTPUT, b"line\n")
        await until(shell.changed, lambda: shell.seen == 5)


async def test_a_lost_socket_resumes_on_another_node_with_exactly_the_rest() -> None:
    async with small_relay(nodes=2) as world, at_shell(world) as (connection, shell, _, screen):
        await world.publish(shell.id, Kind.OUTPUT, b"one ")
        await screen.until(lambda: screen.shown == b"one ")
        world.cut()
        shell.frame(Kind.OUTPUT, b"two ")
        await screen.until(lambda: screen.saw(events.Resumed))
        await world.publish(shell.id, Kind.OUTPUT, b"three")
        await screen.until(lambda: screen.shown == b"one two three")
        assert not screen.saw(events.Gap)
        assert connection.up


async def test_output_that_the_machine_no_longer_keeps_is_said_to_be_lost() -> None:
    async with small_relay() as world, at_shell(world) as (_, shell, _, screen):
        await world.publish(shell.id, Kind.OUTPUT, b"one ")
        await screen.until(lambda: screen.shown == b"one ")
        world.cut()
        for word in (b"two ", b"three ", b"four"):
            shell.frame(Kind.OUTPUT, word)
        shell.first_kept = 4
        await screen.until(lambda: screen.shown.endswith(b"four"))
        assert screen.saw(events.Gap)
        assert screen.shown == b"one four"


async def test_a_missing_frame_is_asked_for_and_a_repeated_one_dropped() -> None:
    async with small_relay() as world, at_shell(world) as (_, shell, _, screen):
        await world.publish(shell.id, Kind.OUTPUT, b"1")
        world.mischief = lambda frame: []
        await world.publish(shell.id, Kind.OUTPUT, b"2")
        world.mischief = lambda frame: [frame, frame]
        await world.publish(shell.id, Kind.OUTPUT, b"3")
        await screen.until(lambda: screen.shown == b"123")
        await world.publish(shell.id, Kind.OUTPUT, b"4")
        await screen.until(lambda: screen.shown == b"1234")
        assert not screen.saw(events.Gap)


async def test_a_replay_that_lost_its_last_frame_is_asked_for_again() -> None:
    async with small_relay() as world, at_shell(world) as (_, shell, _, screen):
        shell.frame(Kind.OUTPUT, b"one ")
        shell.frame(Kind.OUTPUT, b"two")
        world.mischief = lambda frame: [] if frame.endswith(b"two") else [frame]
        await world.detach_all("gap")
        await screen.until(lambda: screen.shown == b"one ")
        world.mischief = lambda frame: [frame]
        await screen.until(lambda: screen.shown == b"one two")


async def test_a_reader_that_does_not_read_is_not_buffered_for_without_end() -> None:
    """The relay sends more than an attachment keeps; what was dropped is asked for when the reader has caught up."""
    piece = b"z" * limits.CHUNK_BYTES
    async with small_relay() as world:
        shell = world.open()
        async with (
            connected(world.urls, "token", Options(random=Hasty())) as connection,
            attached(connection, Target(WORKSPACE, MACHINE, shell.id), None, Hasty()) as attachment,
        ):
            for _ in range(100):
                await world.publish(shell.id, Kind.OUTPUT, piece)
            await connection.request(ListSessions(ref=0, machine=MACHINE))  # all of it has arrived
            asked = len(world.asked)
            await world.publish(shell.id, Kind.EXIT, b'{"code": 0}')
            screen = Screen(attachment)
            await asyncio.wait_for(screen.task, 10)
            assert len(screen.shown) == 100 * len(piece)
            assert any(isinstance(each, Attach) for each in world.asked[asked:])


@pytest.mark.parametrize("reason", ["gap", "behind"])
async def test_a_detachment_for_a_gap_attaches_again(reason: str) -> None:
    async with small_relay() as world, at_shell(world) as (_, shell, _, screen):
        await world.publish(shell.id, Kind.OUTPUT, b"one ")
        await world.detach_all(reason)
        shell.frame(Kind.OUTPUT, b"two")
        await screen.until(lambda: screen.shown == b"one two")


class Noting(Hasty):
    """Notes the longest wait that each draw could have been."""

    def __init__(self) -> None:
        super().__init__()
        self.drawn: list[float] = []

    def uniform(self, a: float, b: float) -> float:
        self.drawn.append(b)
        return a


async def test_a_relay_that_cannot_reach_the_machine_now_is_asked_again_soon_and_then_less_often() -> None:
    async with small_relay() as world, at_shell(world) as (_, shell, attachment, screen):
        noting = attachment._comeback._random = Noting()
        world.refusal = {"code": "unavailable", "message": "its node does not answer"}
        await world.detach_all("machine-gone")
        await until(world.changed, lambda: len(noting.drawn) >= 5)
        world.refusal = None
        shell.frame(Kind.OUTPUT, b"found elsewhere")
        await screen.until(lambda: screen.saw(events.Resumed))
        assert noting.drawn[:5] == [RETURN_SPREAD_SECONDS, *RETRY_SECONDS, RETRY_SECONDS[-1]]
        assert max(RETURN_SPREAD_SECONDS, RETRY_SECONDS[0]) <= 0.25
        drawn = len(noting.drawn)
        world.refusal = {"code": "unavailable", "message": "again"}
        await world.detach_all("machine-gone")
        await until(world.changed, lambda: len(noting.drawn) >= drawn + 2)
        world.refusal = None
        assert noting.drawn[drawn + 1] == RETRY_SECONDS[0]


async def test_a_machine_that_went_away_is_waited_for() -> None:
    async with small_relay() as world, at_shell(world) as (_, shell, attachment, screen):
        world.refusal = {"code": "offline", "message": "offline"}
        world.machines[MACHINE] = machine(connected=False, online=False, state="offline")
        await world.detach_all("machine-gone")
        await screen.until(lambda: screen.saw(events.Interrupted))
        await attachment.write(b"typed meanwhile")
        shell.frame(Kind.OUTPUT, b"it is back")
        world.refusal = None
        asked = len(world.asked)
        await world.tell_machine(machine())
        await screen.until(lambda: screen.saw(events.Resumed))
        assert screen.shown == b"it is back"
        await until(shell.changed, lambda: shell.typed == b"typed meanwhile")
        assert sum(isinstance(each, Attach) for each in world.asked[asked:]) <= 1


async def test_a_machine_that_never_returns_ends_the_attachment() -> None:
    async with small_relay() as world, at_shell(world) as (_, _, attachment, screen):
        del world.machines[MACHINE]
        await world.detach_all("machine-gone")
        with pytest.raises(MachineRevoked):
            await asyncio.wait_for(screen.task, 5)
        assert not await attachment.write(b"to nobody")


@pytest.mark.parametrize(("reason", "error"), [("forbidden", Forbidden), ("machine-revoked", MachineRevoked)])
async def test_a_detachment_for_good_is_an_error(reason: str, error: type[RelayError]) -> None:
    async with small_relay() as world, at_shell(world) as (_, _, _, screen):
        await world.detach_all(reason)
        with pytest.raises(error):
            await asyncio.wait_for(screen.task, 5)


async def test_a_refused_first_attach_is_raised_at_once() -> None:
    async with small_relay() as world:
        world.refusal = {"code": "not-found", "message": "no such session"}
        with pytest.raises(NotFound, match="no such session"):
            async with at_shell(world):
                pass


async def test_a_credential_that_ends_while_attached_ends_everything() -> None:
    async with small_relay() as world, at_shell(world) as (connection, _, _, screen):
        await world.close_all(4002)
        with pytest.raises(BadToken):
            await asyncio.wait_for(screen.task, 5)
        with pytest.raises(BadToken):
            await connection.ready()


async def test_input_without_an_acknowledgement_is_sent_again_and_applied_once() -> None:
    async with small_relay(nodes=2) as world, at_shell(world) as (_, shell, attachment, screen):
        world.mischief = lambda frame: []  # no acknowledgement arrives
        await attachment.write(b"first ")
        await until(shell.changed, lambda: shell.typed == b"first ")
        world.cut()
        await attachment.write(b"second ")
        world.mischief = lambda frame: [frame]
        await until(shell.changed, lambda: shell.typed == b"first second ")
        await attachment.write(b"third")
        await until(shell.changed, lambda: shell.typed == b"first second third")
        assert not screen.saw(events.InputLost)


async def test_more_than_the_window_waits_for_acknowledgements() -> None:
    async with small_relay() as world, at_shell(world) as (_, shell, attachment, _):
        world.mischief = lambda frame: []
        writing = asyncio.create_task(attachment.write(b"y" * (2 * limits.INPUT_WINDOW_BYTES)))
        await until(shell.changed, lambda: len(shell.typed) > limits.INPUT_WINDOW_BYTES // 2)
        assert not writing.done()
        assert len(shell.typed) <= limits.INPUT_WINDOW_BYTES
        world.mischief = lambda frame: [frame]
        world.cut()
        assert await asyncio.wait_for(writing, 5)
        await until(shell.changed, lambda: len(shell.typed) == 2 * limits.INPUT_WINDOW_BYTES)


async def test_refused_input_is_said_and_nothing_is_typed_until_the_keyboard_is_ours() -> None:
    async with small_relay() as world, at_shell(world) as (_, shell, attachment, screen):
        await attachment.write(b"a")
        await until(shell.changed, lambda: shell.typed == b"a")
        shell.refusing = True
        await attachment.write(b"refused")
        await screen.until(lambda: screen.saw(events.InputRefused))
        assert not await attachment.write(b"refused, too")
        attachment.take()
        await screen.until(lambda: screen.saw(events.KeyboardMoved))
        assert await attachment.write(b"b")
        await until(shell.changed, lambda: shell.typed == b"ab")


async def test_a_program_that_takes_no_more_at_the_moment_leaves_the_keyboard_ours() -> None:
    async with small_relay() as world, at_shell(world) as (_, shell, attachment, screen):
        shell.refusing, shell.reason = True, "too-much-input"
        await attachment.write(b"refused")
        await screen.until(lambda: screen.saw(events.InputRefused))
        shell.refusing = False
        assert await attachment.write(b"taken")
        await until(shell.changed, lambda: shell.typed == b"taken")


async def test_what_was_typed_before_somebody_else_had_the_keyboard_is_not_applied_after_them() -> None:
    """It answered a screen that is not there any more; the person is told."""
    async with small_relay() as world, at_shell(world) as (_, shell, attachment, screen):
        shell.deaf = True
        assert await attachment.write(b"rm important\n")
        world.cut()
        shell.term += 2  # somebody took it, typed, and left
        await screen.until(lambda: screen.saw(events.InputRefused))
        shell.deaf = False
        assert await attachment.write(b"new")
        await until(shell.changed, lambda: bool(shell.typed))
        assert shell.typed == b"new"


async def test_an_agent_that_started_anew_gets_no_input_of_the_old_session() -> None:
    async with small_relay() as world, at_shell(world) as (_, shell, attachment, screen):
        world.mischief = lambda frame: []
        await attachment.write(b"old")
        world.cut()
        shell.epoch += 1
        shell.streams.clear()
        shell.typed.clear()
        await screen.until(lambda: screen.saw(events.InputLost))
        assert shell.typed == b""


async def test_leaving_detaches_and_the_session_goes_on() -> None:
    async with small_relay() as world:
        async with at_shell(world) as (_, shell, attachment, screen):
            attachment.leave()
            await asyncio.wait_for(screen.task, 5)
        assert any(isinstance(message, Detach) for message in world.asked)
        assert shell.head == 0


Prank = Callable[[World, Random], Awaitable[None]]


async def _cut(world: World, random: Random) -> None:
    world.cut()


async def _close(world: World, random: Random) -> None:
    await world.close_all(random.choice((1001, 1011, 4100, 4200, 4201, 4202, 4203)))


async def _gap(world: World, random: Random) -> None:
    await world.detach_all(random.choice(("gap", "behind")))


async def _nothing(world: World, random: Random) -> None:
    pass


PRANKS: tuple[Prank, ...] = (_cut, _close, _gap, *(_nothing,) * 20)


@pytest.mark.parametrize("seed", range(8))
async def test_a_relay_that_loses_and_repeats_at_random_changes_no_byte(seed: int) -> None:
    """Frames and acknowledgements are lost and doubled, sockets cut and closed, on three nodes, both ways at once."""
    random = Random(seed)

    def mischief(frame: bytes) -> list[bytes]:
        return random.choice(([], [frame], [frame], [frame], [frame, frame]))

    output = [f"line {number}\n".encode() for number in range(400)]
    typed = [f"key {number}\n".encode() for number in range(400)]
    async with small_relay(nodes=3) as world, at_shell(world) as (_, shell, attachment, screen):
        world.mischief = mischief

        async def type_all() -> None:
            for piece in typed:
                assert await attachment.write(piece)
                await asyncio.sleep(0)

        typing = asyncio.create_task(type_all())
        for piece in output:
            await world.publish(shell.id, Kind.OUTPUT, piece)
            await random.choice(PRANKS)(world, random)
            await asyncio.sleep(0)
        world.mischief = lambda frame: [frame]
        await asyncio.wait_for(typing, 20)
        await world.detach_all("gap")
        await until(shell.changed, lambda: shell.typed == b"".join(typed))
        await world.publish(shell.id, Kind.EXIT, b'{"code": 0}')
        await asyncio.wait_for(screen.task, 20)
        assert bytes(screen.shown) == b"".join(output)
        assert bytes(shell.typed) == b"".join(typed)
        assert not screen.saw(events.Gap)
        assert not screen.saw(events.InputLost)
