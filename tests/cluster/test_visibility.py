"""Shows that a machine which you may not see does not exist for you, on any node, by any way."""

from __future__ import annotations

import asyncio

import pytest

from relay.client.attachment import Manner
from relay.client.subscription import follow
from relay.errors import Forbidden, NotFound, RelayError
from tests.support.bare import BareMachine, a_session, attach, bare_browser
from tests.support.cluster import Rest, Team
from tests.support.screen import browser, open_shell, watching


def token_of(person: Rest) -> str:
    """A personal token, whose machines are PRIVATE."""
    return str(person("POST", "/api/tokens", {"name": "test"})["token"])


async def test_a_private_machine_exists_for_its_owner_alone(team: Team) -> None:
    """In lists, resolver, candidates, errors, events and attach; not even for the workspace's owner."""
    jane = team.person("jane", "member")
    team.agent("janes-laptop", "--private", token=token_of(jane))
    [mine] = jane("GET", "/api/machines")["machines"]
    assert (mine["name"], mine["visibility"]) == ("janes-laptop", "PRIVATE")

    assert team.machines() == []
    unknown = team.owner("GET", "/api/machines/00000000-0000-4000-8000-000000000000", status=404)
    for url in team.cluster.urls:
        assert team.owner.on(url)("GET", f"/api/machines/{mine['id']}", status=404) == unknown
    for query in ("janes-laptop", "janes", mine["id"], mine["hostname"]):
        team.owner("GET", f"/api/resolve?q={query}&workspace={team.workspace}", status=404)
    async with browser(team.cluster.urls[1], team.owner.token) as connection:
        pictures = follow(connection, team.workspace)
        picture = await pictures.until(lambda p: p.whole)
        assert mine["id"] not in picture.machines
        with pytest.raises(NotFound):
            await open_shell(connection, team.workspace, mine["id"])


async def test_nothing_crosses_workspaces(team: Team) -> None:
    """The same name in two teams is two machines, and neither team sees the other's."""
    other = team.cluster.team()
    stranger = other.person("sam", "admin")
    team.agent("prod"), other.agent("prod")
    mine, theirs = team.machine("prod"), other.machine("prod")
    assert mine["id"] != theirs["id"]
    assert [each["id"] for each in stranger("GET", "/api/machines")["machines"]] == [theirs["id"]]
    stranger("GET", f"/api/machines/{mine['id']}", status=404)
    stranger("DELETE", f"/api/machines/{mine['id']}", status=404)
    stranger("GET", f"/api/machines?workspace={team.workspace}", status=404)
    async with browser(team.cluster.urls[1], stranger.token) as connection:
        with pytest.raises(NotFound):
            await open_shell(connection, team.workspace, mine["id"])


async def test_making_a_machine_private_drops_other_peoples_attachments_and_pictures_at_once(team: Team) -> None:
    """Its owner's own session goes on."""
    jane = team.person("jane", "member")
    agent = team.agent("janes-box", token=token_of(jane))
    [machine] = jane("GET", "/api/machines")["machines"]
    jane("PATCH", f"/api/machines/{machine['id']}/visibility", {"visibility": "SHARED"})
    elsewhere = team.cluster.other(agent.node)
    async with browser(elsewhere, team.owner.token) as olga, browser(agent.node, jane.token) as own:
        shell = await open_shell(own, team.workspace, machine["id"])
        pictures = follow(olga, team.workspace)
        await pictures.until(lambda p: machine["id"] in p.machines)
        async with watching(own, shell) as mine:
            async with watching(olga, shell, Manner(mode="watch")) as theirs:
                await mine.type("echo shared-$((1))\n")
                await theirs.shows(b"shared-1")
                jane("PATCH", f"/api/machines/{machine['id']}/visibility", {"visibility": "PRIVATE"})
                async with asyncio.timeout(10):
                    await pictures.until(lambda p: machine["id"] not in p.machines)
                    with pytest.raises(Forbidden):
                        await theirs.ended()
            await mine.type("echo still-$((1))\n")
            await mine.shows(b"still-1")
        with pytest.raises(NotFound):
            await open_shell(olga, team.workspace, machine["id"])


async def test_a_member_who_is_removed_loses_sockets_sessions_and_machines(team: Team) -> None:
    """PRIVATE machines are revoked; what they were attached to ends."""
    jane = team.person("jane", "member")
    private = team.agent("janes-own", "--private", token=token_of(jane))
    shared = team.agent("common")
    [user] = [
        each
        for each in team.owner("GET", f"/api/workspaces/{team.workspace}/members")["members"]
        if each["user"]["name"] == "jane"
    ]
    machine = team.machine("common")["id"]
    async with browser(team.cluster.other(shared.node), jane.token) as connection:
        shell = await open_shell(connection, team.workspace, machine)
        async with watching(connection, shell) as screen:
            await screen.type("echo in-$((1))\n")
            await screen.shows(b"in-1")
            team.owner("DELETE", f"/api/workspaces/{team.workspace}/members/{user['user']['id']}")
            assert private.ends() == 0
            async with asyncio.timeout(10):
                with pytest.raises(RelayError):
                    await screen.ended()
    assert "revoked" in private.output()


def test_a_second_machine_of_the_same_name_takes_it_and_the_first_runs_on_in_its_shadow(team: Team) -> None:
    """The newest registration has the name; the older machine is reached by id, and both agents are told."""
    first = team.agent("prod-api")
    older = team.machine("prod-api")
    second = team.agent("prod-api")
    newer = team.machine("prod-api")
    assert newer["id"] != older["id"]
    shadowed = team.owner("GET", f"/api/machines/{older['id']}")
    assert (shadowed["online"], shadowed["shadowedBy"]) == (True, newer["id"])
    first.says("taken over")
    second.says("taken over")
    found = team.owner("GET", f"/api/resolve?q={older['id']}&workspace={team.workspace}")
    assert (found["machine"]["id"], found["matchedBy"]) == (older["id"], "id")
    entries = team.owner("GET", f"/api/workspaces/{team.workspace}/audit")["entries"]
    assert any(newer["id"] in str(entry) and older["id"] in str(entry) for entry in entries)


def test_an_offline_machines_name_is_taken_together_with_its_identity(team: Team) -> None:
    """A reinstall keeps the machine's id."""
    agent = team.agent("reinstalled")
    before = team.machine("reinstalled")
    agent.stop()
    team.agent("reinstalled")
    assert team.machine("reinstalled")["id"] == before["id"]


def test_who_comes_back_to_a_session_is_asked_again_whether_they_may(team: Team) -> None:
    """On every node, whatever they have of it already."""
    jane = team.person("jane", "member")
    machine, session = BareMachine(team, "once-shared", token=token_of(jane), visibility="SHARED"), a_session()
    urls = team.cluster.urls
    with machine.agent(urls[0], session) as agent:
        for url in urls:
            with bare_browser(url, team.owner.token) as olga:
                attach(olga, agent, machine, session)
        jane("PATCH", f"/api/machines/{machine.id}/visibility", {"visibility": "PRIVATE"})
        place = {"machine": machine.id, "session": session["id"], "after": {"epoch": 1, "sequence": 0}}
        for url in urls:
            with bare_browser(url, team.owner.token) as olga:
                olga.say(type="attach", ref=2, **place)
                assert olga.hears_any("error", "attaching").get("code") == "not-found"
        with bare_browser(urls[1], jane.token) as own:
            attach(own, agent, machine, session)
