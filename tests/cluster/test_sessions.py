"""Shows sessions that outlive every socket: resumed on other nodes, shared by several people, ended for all."""

from __future__ import annotations

import asyncio
import re

from relay.client import events
from relay.client.attachment import Manner, Target
from relay.client.connection import Connection
from relay.client.session import end_session, list_sessions, open_command
from relay.client.subscription import follow
from tests.support.cluster import Agent, Team
from tests.support.screen import Screen, browser, open_shell, watching

LINES = 4_000
COUNTING = (
    f"for i in $(seq 1 {LINES}); do echo line-$i-end; [ $((i % 100)) = 0 ] && sleep 0.02; done; echo all-$((1))-done\n"
)


def counted(screen: Screen) -> list[int]:
    """The numbers of the lines that the loop above printed, in the order of the screen."""
    return [int(number) for number in re.findall(rb"line-(\d+)-end\r?\n", bytes(screen.seen))]


async def shell_from_elsewhere(team: Team, agent: Agent, connection: Connection) -> Target:
    """A shell on the agent's machine."""
    return await open_shell(connection, team.workspace, team.machine(agent.name.removeprefix("agent-"))["id"])


async def test_a_browser_that_loses_its_socket_again_and_again_gets_every_byte_once_in_order(team: Team) -> None:
    """Resume by sequence number, under output that does not stop."""
    agent = team.agent("builder")
    async with browser(team.cluster.other(agent.node), team.owner.token) as connection:
        shell = await shell_from_elsewhere(team, agent, connection)
        async with watching(connection, shell) as screen:
            await screen.type(COUNTING)
            for times in range(1, 8):
                await screen.shows(b"-end", times * 400)
                connection.drop()
            await screen.shows(b"all-1-done")
            assert counted(screen) == list(range(1, LINES + 1))
            assert not any(isinstance(event, events.Gap) for event in screen.told)


async def test_a_browser_subscribed_to_an_offline_machine_goes_on_when_it_returns_on_another_node(team: Team) -> None:
    """The agent's node is drained away under a running session; the browser's socket stays."""
    agent = team.agent("laptop")
    async with browser(team.cluster.other(agent.node), team.owner.token) as connection:
        shell = await shell_from_elsewhere(team, agent, connection)
        async with watching(connection, shell) as screen:
            await screen.type("echo before-$((1))\n")
            await screen.shows(b"before-1")
            before = connection.node
            team.owner("POST", f"/api/machines/{shell.machine}/kick")
            agent.says("  connected  node=", times=2)
            await screen.type("echo after-$((1))\n")
            await screen.shows(b"after-1")
            assert connection.node == before
            assert screen.seen.count(b"before-1") == 1


async def test_two_people_share_a_session_and_only_the_driver_types(team: Team) -> None:
    """One drives, the other watches, and takes the keyboard when she asks for it."""
    agent = team.agent("shared-box")
    jane = team.person("jane", "member")
    here, there = agent.node, team.cluster.other(agent.node)
    async with browser(here, team.owner.token) as olga, browser(there, jane.token, "desk") as second:
        shell = await shell_from_elsewhere(team, agent, olga)
        async with watching(olga, shell) as driving, watching(second, shell) as following:
            await driving.type("echo from-olga-$((1))\n")
            await following.shows(b"from-olga-1")
            assert not await following.attachment.write(b"echo no\n")
            following.attachment.take()
            await following.hears(events.KeyboardMoved)
            await following.type("echo from-jane-$((1))\n")
            await driving.shows(b"from-jane-1")


async def test_a_viewer_watches_and_may_not_type(team: Team) -> None:
    """The role is asked at the node, whatever the client says."""
    agent = team.agent("production")
    viewer = team.person("vera", "viewer")
    async with browser(team.owner.url, team.owner.token) as olga, browser(viewer.url, viewer.token) as vera:
        shell = await shell_from_elsewhere(team, agent, olga)
        async with watching(olga, shell) as driving, watching(vera, shell, Manner(mode="watch")) as following:
            await driving.type("echo seen-$((1))\n")
            await following.shows(b"seen-1")
            assert not await following.attachment.write(b"x")


async def test_a_command_streams_its_output_and_mirrors_its_exit(team: Team) -> None:
    """Standard output and error arrive apart, and the exit code last."""
    agent = team.agent("runner")
    machine = team.machine("runner")["id"]
    async with browser(team.cluster.other(agent.node), team.owner.token) as connection:
        session = await open_command(connection, machine, ["sh", "-c", "cat; echo oops >&2; exit 7"])
        async with watching(connection, Target(team.workspace, machine, session.id)) as screen:
            await screen.type("typed input")
            await screen.attachment.end_input()
            exited = await screen.hears(events.Exited)
            assert isinstance(exited, events.Exited)
            assert exited.code == 7
            outputs = [event for event in screen.told if isinstance(event, events.Output)]
            assert b"".join(each.data for each in outputs if not each.stderr) == b"typed input"
            assert b"".join(each.data for each in outputs if each.stderr) == b"oops\n"


async def test_ending_a_session_ends_it_for_everybody_and_keeps_it_in_the_history(team: Team) -> None:
    """The relay keeps nothing of it; the machine does."""
    agent = team.agent("archive")
    async with browser(team.cluster.other(agent.node), team.owner.token) as connection:
        shell = await shell_from_elsewhere(team, agent, connection)
        async with watching(connection, shell) as screen:
            await screen.type("echo hello-$((1))\n")
            await screen.shows(b"hello-1")
            await end_session(connection, shell.machine, shell.session)
            await screen.hears(events.Exited)
        sessions = await list_sessions(connection, shell.machine)
        assert [session.ended_at is not None for session in sessions if session.id == shell.session] == [True]


async def test_everybody_sees_who_is_on_a_machine(team: Team) -> None:
    """The picker is told when somebody attaches, and when they leave."""
    agent = team.agent("busy")
    async with browser(team.cluster.other(agent.node), team.owner.token) as connection:
        shell = await shell_from_elsewhere(team, agent, connection)
        pictures = follow(connection, team.workspace)
        async with asyncio.timeout(15):
            async with watching(connection, shell):
                busy = await pictures.until(lambda p: p.machines[shell.machine].active_session is not None)
                active = busy.machines[shell.machine].active_session
                assert active is not None
                assert active.session_id == shell.session
                assert active.operator["client"] == "laptop"
            await pictures.until(lambda p: p.machines[shell.machine].active_session is None)
