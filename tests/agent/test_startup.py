"""Tests how `relay serve` finds its cluster, and real processes of it against a node of the test."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relay.agent.startup import find_place, only_agent
from relay.client.profile import Enrolment, Login, Profile
from relay.errors import Close, Conflict, Exit, Misconfigured
from relay.rules.agent_messages import Bye
from tests.agent.node import Node
from tests.agent.served import INSTANCE


def environ(folder: Path, **rest: str) -> dict[str, str]:
    return {"RELAY_CONFIG_DIR": str(folder), **rest}


def test_the_cluster_is_the_one_that_is_named_then_the_variables_then_the_logins(tmp_path: Path) -> None:
    Profile(tmp_path).save_login(Login("https://login.example", "rly_cli_x", "jane", "team", ("https://b.example",)))
    named = find_place("https://a.example:443/", environ(tmp_path, RELAY_URL="https://c.example"))
    assert (named.url, named.token) == ("https://a.example", None)
    assert find_place(None, environ(tmp_path, RELAY_URL="https://c.example,https://d.example")).urls == [
        "https://c.example",
        "https://d.example",
    ]
    login = find_place(None, environ(tmp_path))
    assert (login.url, login.urls, login.token, login.workspace) == (
        "https://login.example",
        ["https://login.example", "https://b.example"],
        "rly_cli_x",
        "team",
    )


def test_a_key_in_the_environment_goes_before_the_login_and_names_its_own_workspace(tmp_path: Path) -> None:
    Profile(tmp_path).save_login(Login("https://login.example", "rly_cli_x", "jane", "team"))
    place = find_place(None, environ(tmp_path, RELAY_TOKEN="rly_team_x"))
    assert (place.url, place.token, place.workspace) == ("https://login.example", "rly_team_x", None)


def test_a_key_may_be_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("rly_team_y\n")
    place = find_place("https://a.example", environ(tmp_path, RELAY_TOKEN_FILE=str(tmp_path / "key")))
    assert place.token == "rly_team_y"
    with pytest.raises(Misconfigured, match="RELAY_TOKEN_FILE"):
        find_place("https://a.example", environ(tmp_path, RELAY_TOKEN_FILE=str(tmp_path / "gone")))


def test_no_cluster_at_all_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="relay login"):
        find_place(None, environ(tmp_path))


def test_one_installation_serves_a_cluster_once(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "agent.lock"
    with only_agent(path), pytest.raises(Conflict, match=str(os.getpid())), only_agent(path):
        pass
    with only_agent(path):
        pass


class Process:
    """A real `relay serve`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def ends(self) -> tuple[int, str]:
        """Its exit code and what it said."""
        _, said = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, said.decode()


class Computer:
    """Where it runs."""

    def __init__(self, folder: Path, url: str) -> None:
        self.profile = Profile(folder)
        self.url = url
        self.started: list[asyncio.subprocess.Process] = []

    async def serve(self, *options: str) -> Process:
        """Start it."""
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.profile.folder), "RELAY_URL": self.url}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "relay.cli", "serve", *options,
            env=environ(self.profile.folder, **environment),
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        self.started.append(process)
        return Process(process)


@pytest.fixture
async def computer(tmp_path: Path, one: Node) -> AsyncIterator[Computer]:
    made = Computer(tmp_path, one.url)
    made.profile.save_enrolment(Enrolment(one.url, INSTANCE, "x", "rly_mach_x"))
    yield made
    for process in made.started:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def test_revoked_it_says_so_and_exits_0_and_every_later_start_exits_77(computer: Computer, one: Node) -> None:
    serving = await computer.serve()
    visit = await one.visit()
    await visit.close(Close.MACHINE_REVOKED, "machine-revoked")
    code, said = await serving.ends()
    assert code == Exit.OK
    assert said.splitlines()[-1].startswith("relay: this machine was revoked")
    for options in ((), ("--name", "mac")):
        code, said = await (await computer.serve(*options)).ends()
        assert (code, len(said.splitlines())) == (Exit.DENIED, 1)
        assert "--register-again" in said
    assert len(one.visits) == 1


async def test_a_signal_stops_it_in_peace(computer: Computer, one: Node) -> None:
    serving = await computer.serve()
    await one.visit()
    serving.process.send_signal(signal.SIGTERM)
    code, said = await serving.ends()
    assert code == Exit.OK
    assert "  connected  node=" in said
    assert "rly_mach_x" not in said


async def test_a_terminal_that_hangs_up_ends_it_unless_it_was_started_to_outlive_that(
    computer: Computer, one: Node
) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as `nohup` does; programs inherit it
    try:
        serving = await computer.serve()
    finally:
        signal.signal(signal.SIGHUP, before)
    visit = await one.visit()
    serving.process.send_signal(signal.SIGHUP)
    for ref in (1, 2):  # by its second answer it would have said goodbye
        await visit.ask("sessions", ref)
    assert not any(isinstance(message, Bye) for message in visit.messages)
    serving.process.send_signal(signal.SIGTERM)
    await serving.ends()
    other = await computer.serve()
    await one.visit(2)
    other.process.send_signal(signal.SIGHUP)
    assert (await other.ends())[0] == Exit.OK


async def test_parked_it_exits_76_when_told_to_stop(computer: Computer, one: Node) -> None:
    serving = await computer.serve()
    visit = await one.visit()
    await visit.close(Close.REPLACED, "replaced")
    assert serving.process.stderr is not None
    said = ""
    while "took over" not in said:
        said = (await serving.process.stderr.readline()).decode()
    serving.process.send_signal(signal.SIGTERM)
    assert (await serving.ends())[0] == Exit.REPLACED


async def test_a_second_one_beside_it_says_who_is_there(computer: Computer, one: Node) -> None:
    first = await computer.serve()
    await one.visit()
    code, said = await (await computer.serve()).ends()
    assert code == Exit.FAILURE
    assert str(first.process.pid) in said


async def test_wrong_options_are_usage_errors(computer: Computer) -> None:
    code, said = await (await computer.serve("--label", "novalue")).ends()
    assert code == Exit.USAGE
    assert "K=V" in said


async def test_who_is_not_registered_and_has_no_credential_is_told_what_to_do(computer: Computer, one: Node) -> None:
    computer.profile.forget_enrolment(one.url)
    code, said = await (await computer.serve()).ends()
    assert code == Exit.DENIED
    assert "relay login" in said
    assert not json.loads((computer.profile.folder / "machine.json").read_text())
