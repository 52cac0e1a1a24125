"""Tests of a place on the cluster: which node it is on, what becomes of requests, and when it gives up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random

import pytest
from websockets.asyncio.server import ServerConnection

from relay.client.connection import Connection, Options, connected
from relay.client.ends import Shed, Unreachable
from relay.client.pending import Lost
from relay.client.session import choose_session, end_session, list_sessions, open_command, open_terminal
from relay.client.subscription import follow
from relay.errors import Forbidden, Invalid, NotFound, TimedOut, Unavailable
from relay.rules import messages
from relay.rules.browser_messages import Attach, ListSessions, Ping, Subscribe
from relay.rules.messages import Nodes
from tests.client.small_relay import MACHINE, WORKSPACE, World, machine, small_relay
from tests.client.test_attachment import Hasty, until

NOBODY = "http://127.0.0.1:9"
PATIENT = Options(random=Hasty())


class Slow(Random):
    """Always waits as long as there is."""

    def uniform(self, a: float, b: float) -> float:
        return b


def noted(slept: list[float]) -> Callable[[float], Awaitable[None]]:
    """A sleep that is over at once and written down."""

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    return sleep


async def test_a_connection_is_welcomed_and_learns_of_the_other_nodes() -> None:
    async with small_relay(nodes=2) as world, connected([NOBODY, world.urls[0]], "token", PATIENT) as connection:
        assert connection.up
        assert connection.welcome is not None
        assert connection.welcome.user["name"] == "jane"
        assert connection.nodes == [*world.urls, NOBODY]


async def test_a_connection_that_lost_its_node_goes_to_one_it_was_told_of() -> None:
    async with small_relay(nodes=2) as world, connected(world.urls[:1], "token", PATIENT) as connection:
        await world.shut(0)
        while connection.node != world.urls[1]:
            with suppress(Lost):
                await connection.request(ListSessions(ref=0, machine=MACHINE))


async def test_a_connection_learns_of_nodes_that_its_own_hears_of_later() -> None:
    async with small_relay() as world, connected(world.urls, "token", PATIENT) as connection:
        (browser,) = world.browsers
        await browser.tell(Nodes(nodes=[*world.urls, "http://127.0.0.1:1"]))
        await connection.request(ListSessions(ref=0, machine=MACHINE))  # whose answer comes behind it
        assert connection.nodes == [*world.urls, "http://127.0.0.1:1"]


async def test_nobody_there_is_an_error_at_once() -> None:
    with pytest.raises(Unreachable):
        async with connected([NOBODY], "token"):
            pass


async def test_patience_for_the_first_node_has_an_end() -> None:
    with pytest.raises(Unreachable):
        async with connected([NOBODY], "token", Options(random=Hasty(), first_seconds=0.05)):
            pass


async def test_patience_for_another_node_has_an_end() -> None:
    async with small_relay() as world:
        options = Options(random=Hasty(), patience_seconds=0.05)
        async with connected(world.urls, "token", options) as connection:
            world.greeting = lambda socket: 4100
            world.cut()
            assert "4100" in (await asyncio.wait_for(connection.ended(), 5)).message
            with pytest.raises(Unavailable):
                await connection.ready()


async def test_a_node_that_turns_us_away_for_good_is_believed() -> None:
    async with small_relay() as world:
        world.greeting = lambda socket: 4003
        with pytest.raises(Forbidden):
            async with connected(world.urls, "token", PATIENT):
                pass


@pytest.mark.parametrize("first_seconds", [0, 5])
async def test_a_node_that_turns_us_away_for_now_is_asked_again(first_seconds: float) -> None:
    """Also for who asks each node once: a balancer may know a moment later that it leaves."""
    tries = 0

    def greeting(socket: ServerConnection) -> int | None:
        nonlocal tries
        tries += 1
        return 4200 if tries < 4 else None

    async with small_relay() as world:
        world.greeting = greeting
        async with connected(world.urls, "token", Options(random=Hasty(), first_seconds=first_seconds)):
            assert tries == 4


async def test_busy_nodes_are_waited_for_as_long_as_they_say_and_the_person_is_told() -> None:
    slept: list[float] = []
    told: list[float] = []
    async with small_relay(nodes=2) as world:
        world.turns = [9, 4, 2]  # both are busy, and the sooner one is so again
        options = Options(on_busy=told.append, sleep=noted(slept))
        async with connected(world.urls, "token", options) as connection:
            assert connection.up
    assert [4 <= slept[0] <= 4.8, 2 <= slept[1] <= 2.4] == [True, True]
    assert told == slept
    assert world.turned[2].node == world.turned[1].node


async def test_a_turn_that_is_too_far_away_is_not_waited_for() -> None:
    slept: list[float] = []
    async with small_relay() as world:
        world.turns = [59]
        with pytest.raises(Shed, match="come back in 59 s"):
            async with connected(world.urls, "token", Options(random=Slow(), sleep=noted(slept))):
                pass
    assert slept == []


async def test_an_error_answer_is_raised_as_the_error_it_names() -> None:
    async with small_relay() as world, connected(world.urls, "token", PATIENT) as connection:
        world.refusal = {"code": "limit-reached", "message": "enough", "limit": "ATTACHMENTS_PER_BROWSER"}
        with pytest.raises(Exception, match="enough") as caught:
            await connection.request(Attach(ref=0, machine=MACHINE, session=WORKSPACE))
        assert caught.value.extra["limit"] == "ATTACHMENTS_PER_BROWSER"  # type: ignore[attr-defined]


async def test_a_request_that_nobody_answers_times_out() -> None:
    async with small_relay() as world, connected(world.urls, "token", PATIENT) as connection:
        world.silent = True
        with pytest.raises(TimedOut):
            await connection.request(ListSessions(ref=0, machine=MACHINE), seconds=0.05)


async def test_a_request_whose_socket_is_lost_says_that_nobody_knows() -> None:
    async with small_relay() as world, connected(world.urls, "token", PATIENT) as connection:
        world.silent = True
        asking = asyncio.create_task(connection.request(ListSessions(ref=0, machine=MACHINE)))
        await until(world.changed, lambda: bool(world.asked))
        world.cut()
        with pytest.raises(Lost):
            await asyncio.wait_for(asking, 5)


async def test_what_is_posted_last_is_sent_before_the_end() -> None:
    async with small_relay() as world:
        async with connected(world.urls, "token", PATIENT) as connection:
            connection.post(messages.encode(Ping(at=77)).decode())
        await until(world.changed, lambda: any(isinstance(each, Ping) for each in world.asked))


async def test_a_message_of_a_newer_relay_is_passed_over() -> None:
    async with small_relay() as world, connected(world.urls, "token", PATIENT) as connection:
        (browser,) = world.browsers
        await browser.socket.send('{"type": "from-the-future", "session": "x"}')
        await connection.request(ListSessions(ref=0, machine=MACHINE))
        assert connection.up


async def test_nonsense_ends_the_socket_and_not_the_connection() -> None:
    async with small_relay() as world, connected(world.urls, "token", PATIENT) as connection:
        (browser,) = world.browsers
        await browser.socket.send(b"short")
        await until(world.changed, lambda: browser not in world.browsers)
        await connection.request(ListSessions(ref=0, machine=MACHINE))


async def test_sessions_are_opened_listed_chosen_and_ended() -> None:
    async with small_relay() as world, connected(world.urls, "token", PATIENT) as connection:
        terminal = await open_terminal(connection, MACHINE, columns=80, rows=24)
        command = await open_command(connection, MACHINE, ["true"], environment={"A": "b"}, directory="/")
        assert [each.id for each in await list_sessions(connection, MACHINE)] == [terminal.id, command.id]
        assert choose_session([terminal, command], command.id.upper()) == command
        for wanted in ("", "0000", "nothing"):
            with pytest.raises(NotFound):
                choose_session([terminal, command], wanted)
        await end_session(connection, MACHINE, terminal.id)
        assert world.shells[terminal.id].head == 1


async def renamed(world: World, name: str) -> None:
    await world.tell_machine(machine(name=name))


async def test_a_subscription_follows_changes_and_comes_back_after_a_loss() -> None:
    async with small_relay() as world, connected(world.urls, "token", PATIENT) as connection:
        workspace = follow(connection, WORKSPACE)
        async with asyncio.timeout(5):
            await workspace.until(lambda picture: picture.machines[MACHINE].name == "mac-studio")
            await renamed(world, "second")
            await workspace.until(lambda picture: picture.machines[MACHINE].name == "second")
            world.cut()
            world.machines[MACHINE] = machine(name="third")
            await workspace.until(lambda picture: picture.machines[MACHINE].name == "third")
        assert follow(connection, WORKSPACE) is workspace


async def test_a_missing_change_brings_a_new_snapshot() -> None:
    async with small_relay() as world, connected(world.urls, "token", PATIENT) as connection:
        workspace = follow(connection, WORKSPACE)
        async with asyncio.timeout(5):
            await workspace.until(lambda picture: picture.whole)
            (browser,) = world.browsers
            browser.seq += 1
            world.machines[MACHINE] = machine(name="missed")
            await renamed(world, "noticed")
            await workspace.until(lambda picture: picture.machines[MACHINE].name == "noticed")
        assert sum(isinstance(each, Subscribe) for each in world.asked) == 2


async def test_a_subscription_ends_with_its_connection() -> None:
    async with small_relay() as world, connected(world.urls, "token", PATIENT) as connection:
        workspace = follow(connection, WORKSPACE)
        await workspace.until(lambda picture: picture.whole)
        await world.close_all(4005)
        with pytest.raises(Invalid):
            async with asyncio.timeout(5):
                await workspace.until(lambda picture: False)


async def test_a_listener_that_fails_fails_the_connection_and_says_so() -> None:
    """What we did wrong is not swallowed: whoever waits is told, and the traceback reaches the caller."""

    async def broken(connection: Connection) -> None:
        raise ZeroDivisionError

    async def use(world: World) -> None:
        async with connected(world.urls, "token", PATIENT) as connection:
            connection.own(broken(connection))
            assert (await connection.ended()).message == "internal error"

    async with small_relay() as world:
        with pytest.raises(ZeroDivisionError):
            await use(world)
