"""Checks that the bus keeps order, is bounded, and says when it may have missed something."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from redis.asyncio import Redis

from relay.errors import LimitReached, Unavailable
from relay.store import Bus, Keys
from relay.store.branch import Branch
from relay.store.bus import BUS_CONTROL_BYTES
from relay.store.connection import ask
from relay.store.servers import Address, OneServer
from relay.store.wire import ANSWERED_SECONDS, CHANNELS_KEPT, SKIP, Wire
from tests.store.listening import WAIT_SECONDS, Inbox, listening, running
from tests.support.valkey import Valkey


class Story:
    """What a bus told its owner, in order."""

    def __init__(self) -> None:
        self.lost = asyncio.Event()
        self.restored = asyncio.Event()
        self.told: list[str] = []

    def attach(self, bus: Bus) -> None:
        """Become the listener of a bus."""
        bus.on_lost = self._lost
        bus.on_restored = self._restored

    def _lost(self) -> None:
        self.told.append("lost")
        self.lost.set()

    def _restored(self) -> None:
        self.told.append("restored")
        self.restored.set()


def only_branch(bus: Bus) -> Branch:
    """What a bus on one server has of it."""
    (branch,) = bus._branches.values()
    return branch


class Answers:
    """Counts what Redis answers to one wire, beside the messages that it pushes."""

    def __init__(self, wire: Wire) -> None:
        self.count = 0
        self._reader = wire._reader
        wire._reader = cast(Any, self)
        self.feed = self._reader.feed

    def gets(self) -> Any:
        """The next of either."""
        answer = self._reader.gets()
        self.count += isinstance(answer, int) and answer is not False
        return answer


async def test_messages_of_one_sender_arrive_in_order_and_whole(valkey: Valkey, keys: Keys) -> None:
    sent = [b"%d " % number + bytes(number % 7) * 1_000 for number in range(500)] + [
        b"",
        b"\r\n\x00\xff",
        bytes(262_144),
    ]
    inbox = Inbox()
    async with listening(valkey.url, keys) as sender, listening(valkey.url, keys) as receiver:
        receiver.subscribe(keys.inbox("b"), inbox.hear)
        await receiver.confirmed(keys.inbox("b"))
        for message in sent:
            sender.publish(keys.inbox("b"), message)
        assert await inbox.until(lambda messages: len(messages) == len(sent)) == sent


async def test_all_that_is_published_in_one_tick_leaves_in_one_write(valkey: Valkey, keys: Keys) -> None:
    async with listening(valkey.url, keys) as bus:
        for _ in range(100):
            bus.publish(keys.inbox("nobody"), b"x")
        assert bus.waiting_bytes > 100
        wire = only_branch(bus).wire
        assert wire is not None
        assert wire._transport is not None
        assert wire._transport.get_write_buffer_size() == 0
        await asyncio.sleep(0)
        assert wire._out == []


async def test_what_is_published_at_once_leaves_with_all_that_waits(valkey: Valkey, keys: Keys) -> None:
    inbox = Inbox()
    async with listening(valkey.url, keys) as sender, listening(valkey.url, keys) as receiver:
        receiver.subscribe(keys.inbox("b"), inbox.hear)
        await receiver.confirmed(keys.inbox("b"))
        sender.publish(keys.inbox("b"), b"waits")
        sender.publish(keys.inbox("b"), b"does not", at_once=True)
        wire = next(iter(sender._branches.values())).wire
        assert wire is not None
        assert wire._out == []
        assert await inbox.until(lambda messages: len(messages) == 2) == [b"waits", b"does not"]


async def test_redis_answers_some_publishes_to_a_channel_and_not_each() -> None:
    """Answers that nobody needs were a third of what a node read; without any it would not learn of a refusal."""
    loop = asyncio.get_running_loop()
    written: list[bytes] = []
    wire = Wire(loop, lambda _channel, _data: None)
    wire._transport, wire._skips = cast(Any, SimpleNamespace(write=written.append)), True
    for channel in (b"a", b"a", b"b", b"a"):
        wire.publish(channel, b"x")
        wire.flush()
    wire._answered[b"a"] -= ANSWERED_SECONDS
    wire.publish(b"a", b"x")
    wire.flush()
    assert [data.startswith(SKIP) for data in written] == [False, True, False, True, False]
    for number in range(2 * CHANNELS_KEPT):
        wire.publish(b"%d" % number, b"x")
    assert len(wire._answered) <= CHANNELS_KEPT


async def test_a_publish_that_asks_for_no_answer_gets_none_and_is_heard(valkey: Valkey, keys: Keys) -> None:
    inbox = Inbox()
    async with listening(valkey.url, keys) as bus:
        bus.subscribe(keys.inbox("b"), inbox.hear)
        await bus.confirmed(keys.inbox("b"))
        wire = next(iter(bus._branches.values())).wire
        assert wire is not None
        answers = Answers(wire)
        for _ in range(50):
            bus.publish(keys.inbox("b"), b"x")
        await inbox.until(lambda messages: len(messages) == 50)
        assert answers.count <= 2  # the first, and that of a probe if one was due just then


async def test_a_user_who_may_not_ask_for_silence_is_answered_each_time(
    valkey: Valkey, keys: Keys, redis: Redis
) -> None:
    await ask(redis, "ACL", "SETUSER", "plain", "on", ">word", "~*", "&*", "+@all", "-client")
    inbox = Inbox()
    try:
        async with listening(valkey.url.replace("unix://", "unix://plain:word@"), keys) as bus:
            bus.subscribe(keys.inbox("b"), inbox.hear)
            await bus.confirmed(keys.inbox("b"))
            for _ in range(50):
                bus.publish(keys.inbox("b"), b"x")
            await inbox.until(lambda messages: len(messages) == 50)
            bus.publish(keys.inbox("b"), b"x")  # still over the same connection, for a refusal would have ended it
            await inbox.until(lambda messages: len(messages) == 51)
            assert bus.losses == 0
    finally:
        await ask(redis, "ACL", "DELUSER", "plain")


async def test_a_bus_hears_its_own_voice(valkey: Valkey, keys: Keys) -> None:
    bus = Bus(valkey.url, keys)
    assert bus.deaf
    async with running(bus):
        await asyncio.wait_for(bus.ready(), WAIT_SECONDS)
        assert not bus.deaf
        assert bus.round_trip_seconds is not None
        assert 0 < bus.round_trip_seconds < 5


async def test_a_killed_connection_is_reported_and_restored_with_all_channels(
    valkey: Valkey, keys: Keys, redis: Redis
) -> None:
    story, before, after = Story(), Inbox(), Inbox()
    async with listening(valkey.url, keys) as bus:
        story.attach(bus)
        bus.subscribe(keys.inbox("b"), before.hear)
        await bus.confirmed(keys.inbox("b"))
        await ask(redis, "CLIENT", "KILL", "TYPE", "pubsub")
        await asyncio.wait_for(story.lost.wait(), WAIT_SECONDS)
        bus.subscribe(keys.inbox("c"), after.hear)  # asked for while there was no connection
        await asyncio.wait_for(story.restored.wait(), WAIT_SECONDS)
        bus.publish(keys.inbox("b"), b"again")
        bus.publish(keys.inbox("c"), b"new")
        assert await before.until(lambda messages: len(messages) == 1) == [b"again"]
        assert await after.until(lambda messages: len(messages) == 1) == [b"new"]
    assert story.told == ["lost", "restored", "lost"]  # the last one when it ended
    assert bus.losses == 2


async def test_a_restarted_server_is_found_again(keys: Keys, standing_valkey: Valkey) -> None:
    story, inbox = Story(), Inbox()
    async with listening(standing_valkey.url, keys) as bus:
        story.attach(bus)
        bus.subscribe(keys.inbox("b"), inbox.hear)
        standing_valkey.stop()
        await asyncio.wait_for(story.lost.wait(), WAIT_SECONDS)
        with pytest.raises(Unavailable):
            bus.publish(keys.inbox("b"), b"x")
        standing_valkey.start()
        await asyncio.wait_for(story.restored.wait(), WAIT_SECONDS)
        bus.publish(keys.inbox("b"), b"x")
        await inbox.until(lambda messages: len(messages) == 1)


async def test_a_server_that_stands_still_without_closing_is_noticed(
    keys: Keys, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A half-open connection raises nothing by itself: only the bus's own voice tells."""
    monkeypatch.setattr("relay.store.branch.PROBE_SECONDS", 0.05)
    monkeypatch.setattr("relay.store.branch.DEAF_SECONDS", 0.3)
    story = Story()
    async with listening(valkey.url, keys) as bus:
        story.attach(bus)
        valkey.freeze()
        try:
            await asyncio.wait_for(story.lost.wait(), WAIT_SECONDS)
            assert bus.deaf
        finally:
            valkey.thaw()
        await asyncio.wait_for(story.restored.wait(), WAIT_SECONDS)
        assert not bus.deaf


async def test_what_waits_for_a_slow_server_is_bounded_in_bytes(valkey: Valkey, keys: Keys) -> None:
    async with listening(valkey.url, keys, limit_bytes=1_000_000) as bus:
        valkey.freeze()
        try:
            with pytest.raises(LimitReached):  # noqa: PT012 - which of them is the first depends on the kernel
                for _ in range(100):
                    bus.publish(keys.inbox("b"), bytes(100_000))
                    await asyncio.sleep(0)
            assert bus.waiting_bytes <= 1_000_000
        finally:
            valkey.thaw()


async def test_control_messages_have_room_of_their_own_when_frames_fill_the_bus(valkey: Valkey, keys: Keys) -> None:
    async with listening(valkey.url, keys, limit_bytes=1_000_000) as bus:
        bus.publish(keys.inbox("b"), bytes(999_900))
        with pytest.raises(LimitReached) as full:
            bus.publish(keys.inbox("b"), bytes(1_000))
        assert full.value.extra["limit"] == "BUS_BYTES"
        bus.publish(keys.inbox("b"), bytes(BUS_CONTROL_BYTES // 2), control=True)
        with pytest.raises(LimitReached) as full:
            bus.publish(keys.inbox("b"), bytes(BUS_CONTROL_BYTES), control=True)
        assert full.value.extra["limit"] == "BUS_CONTROL_BYTES"


async def test_an_unsubscribed_channel_is_quiet_and_may_be_asked_for_again_at_once(valkey: Valkey, keys: Keys) -> None:
    first, second, other = Inbox(), Inbox(), Inbox()
    async with listening(valkey.url, keys) as bus:
        channel = keys.events(3)
        bus.subscribe(channel, first.hear)
        await bus.confirmed(channel)
        bus.unsubscribe(channel)
        bus.subscribe(channel, second.hear)
        await bus.confirmed(channel)
        bus.publish(channel, b"1")
        await second.until(lambda messages: messages == [b"1"])
        bus.unsubscribe(channel)
        bus.subscribe(keys.events(4), other.hear)
        bus.publish(channel, b"2")
        await bus.confirmed(keys.events(4))
        bus.publish(keys.events(4), b"3")
        await other.until(lambda messages: messages == [b"3"])
    assert (first.messages, second.messages) == ([], [b"1"])


async def test_restored_means_that_also_the_latest_channel_is_confirmed(
    valkey: Valkey, keys: Keys, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.store.branch.PROBE_SECONDS", 0.05)
    restored: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    async with listening(valkey.url, keys) as bus:
        branch, late = only_branch(bus), keys.inbox("late")
        speak = branch.speak

        def speak_and_subscribe(wire: Wire) -> None:
            speak(wire)
            bus.subscribe(late, Inbox().hear)  # behind the first probe of the new connection

        def note() -> None:
            assert branch.wire is not None
            restored.set_result(late.encode() in branch.wire.confirmed)

        bus.on_lost = lambda: monkeypatch.setattr(branch, "speak", speak_and_subscribe)
        bus.on_restored = note
        await ask(redis, "CLIENT", "KILL", "TYPE", "pubsub")
        assert await asyncio.wait_for(restored, WAIT_SECONDS)
        bus.on_lost = lambda: None


async def test_only_the_latest_of_overlapping_subscriptions_confirms_a_channel() -> None:
    wire = Wire(asyncio.get_running_loop(), lambda channel, data: None)
    confirmation = b">3\r\n$10\r\nssubscribe\r\n$1\r\nc\r\n:1\r\n"
    wire.subscribe([b"c"])
    wire.unsubscribe([b"c"])
    wire.subscribe([b"c"])
    wire.data_received(confirmation)
    assert wire.confirmed == set()
    wire.data_received(b">3\r\n$12\r\nsunsubscribe\r\n$1\r\nc\r\n:0\r\n" + confirmation[:20])
    wire.data_received(confirmation[20:])
    assert wire.confirmed == {b"c"}
    wire.unsubscribe([b"c"])
    assert wire.confirmed == set()


async def test_a_callback_that_fails_harms_nobody_else(valkey: Valkey, keys: Keys) -> None:
    inbox = Inbox()

    def fail(data: bytes) -> None:
        raise ValueError(data)

    async with listening(valkey.url, keys) as bus:
        bus.subscribe(keys.events(1), fail)
        bus.subscribe(keys.events(2), inbox.hear)
        await bus.confirmed(keys.events(2))
        bus.publish(keys.events(1), b"x")
        bus.publish(keys.events(2), b"y")
        await inbox.until(lambda messages: messages == [b"y"])
        assert bus.losses == 0


async def test_many_channels_come_back_after_a_loss(valkey: Valkey, keys: Keys, redis: Redis) -> None:
    story, inbox = Story(), Inbox()
    async with listening(valkey.url, keys) as bus:
        story.attach(bus)
        for number in range(1_200):
            bus.subscribe(keys.inbox(str(number)), inbox.hear)
        await ask(redis, "CLIENT", "KILL", "TYPE", "pubsub")
        await asyncio.wait_for(story.restored.wait(), WAIT_SECONDS)
        for number in range(1_200):
            bus.publish(keys.inbox(str(number)), b"%d" % number)
        assert await inbox.until(lambda messages: len(messages) == 1_200) == [b"%d" % n for n in range(1_200)]


async def test_a_bus_that_never_reaches_redis_is_deaf_and_ends_cleanly(tmp_path: Path, keys: Keys) -> None:
    bus = Bus(f"unix://{tmp_path}/nobody.sock", keys)
    async with running(bus):
        await asyncio.sleep(0)
        assert bus.deaf
        assert not bus.connected


async def test_an_ended_bus_leaves_no_connection(valkey: Valkey, keys: Keys, redis: Redis) -> None:
    async with listening(valkey.url, keys):
        assert len(await redis.client_list(_type="pubsub")) == 1
    async with asyncio.timeout(WAIT_SECONDS):
        while await redis.client_list(_type="pubsub"):
            pass


class Vacant(OneServer):
    """A Redis of which some channels belong to nobody for a while."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.vacant: set[str] = set()

    def owner(self, key: str) -> Address:
        """The only one, if anybody."""
        if key in self.vacant:
            raise Unavailable("nobody holds this")
        return super().owner(key)


async def test_a_channel_that_nobody_holds_makes_the_bus_deaf_until_somebody_does(
    valkey: Valkey, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.store.bus.PROBE_SECONDS", 0.01)
    story, inbox, servers = Story(), Inbox(), Vacant(valkey.url)
    mine, theirs = keys.inbox("mine"), keys.inbox("theirs")
    bus = Bus(valkey.url, keys)
    story.attach(bus)
    bus._servers = servers
    servers.vacant = {mine, theirs}
    bus.subscribe(mine, inbox.hear)
    bus.subscribe(theirs, inbox.hear)
    async with running(bus), asyncio.timeout(WAIT_SECONDS):
        bus.subscribe(keys.inbox("held"), inbox.hear)
        await bus.confirmed(keys.inbox("held"))
        assert bus.deaf
        assert bus.deaf_to(mine)
        with pytest.raises(Unavailable):
            bus.publish(mine, b"nobody")
        bus.unsubscribe(theirs)  # nobody has to be found for it any more
        servers.vacant.remove(mine)
        await bus.ready()
        assert not bus.deaf
        bus.publish(mine, b"somebody")
        assert await inbox.until(lambda messages: len(messages) == 1) == [b"somebody"]
        servers.vacant = {theirs}
        story.restored.clear()
        bus.subscribe(theirs, inbox.hear)
        assert bus.deaf
        assert not bus.deaf_to(mine)
        servers.vacant.clear()
        await story.restored.wait()
        assert not bus.deaf
        bus.publish(theirs, b"both")
        assert await inbox.until(lambda messages: len(messages) == 2) == [b"somebody", b"both"]


async def test_a_bus_that_is_asked_for_a_channel_which_nobody_holds_finds_out_who_does(
    valkey: Valkey, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It hears nothing of it by itself: no connection breaks when a slot is given to somebody."""
    monkeypatch.setattr("relay.store.bus.PROBE_SECONDS", 0.01)
    learned = asyncio.Event()
    async with listening(valkey.url, keys) as bus:
        servers = bus._servers = Vacant(valkey.url)
        servers.vacant = {keys.inbox("theirs")}
        monkeypatch.setattr(servers, "learn", lambda: _noted(learned))
        with pytest.raises(Unavailable):
            bus.publish(keys.inbox("theirs"), b"x")
        await asyncio.wait_for(learned.wait(), WAIT_SECONDS)


async def _noted(event: asyncio.Event) -> None:
    event.set()
