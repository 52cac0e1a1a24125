"""Tests of founding: who gets in at the first start, and that later starts find what is there."""

from __future__ import annotations

import asyncio
import stat
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relay.client.profile import Login, Profile
from relay.dev.folder import DataFolder, default_folder
from relay.dev.founding import Founder
from relay.errors import Gone, Misconfigured
from relay.registry.credentials import NewSignIn
from relay.registry.registry import Registry
from relay.rules.tokens import Secrets

SECRET = "s" * 32
NODES = ["http://127.0.0.1:8000", "http://127.0.0.1:8001"]


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite+aiosqlite:///{tmp_path}/relay.db"


@pytest.fixture
async def founder(database_url: str) -> AsyncIterator[Founder]:
    founder = await Founder.open(database_url, SECRET)
    yield founder
    await founder.close()


@pytest.fixture
async def registry(founder: Founder, database_url: str) -> AsyncIterator[Registry]:
    registry = await Registry.open(database_url)
    yield registry
    await registry.close()


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    return Profile(tmp_path / "config")


async def test_a_second_start_finds_the_same_workspace_and_owner(founder: Founder) -> None:
    first = await founder.found("acme", "Jane")
    assert (first.workspace.name, first.owner.name) == ("acme", "Jane")
    assert await founder.found("other", "Joe") == first


async def test_the_link_signs_the_owner_in_once(founder: Founder, registry: Registry) -> None:
    founded = await founder.found("acme", "Jane")
    link = await founder.sign_in_link("http://127.0.0.1:8000", founded)
    prefix, _, token = link.partition("#sign-in=")
    assert prefix == "http://127.0.0.1:8000/"
    now_ms = time.time_ns() // 1_000_000
    hashes = Secrets.parse(SECRET).hashes(token)
    made = await registry.links.use_sign_in(hashes, NewSignIn("web", "x:1", "page", now_ms * 2), now_ms)
    assert made.person == founded.owner
    with pytest.raises(Gone):
        await registry.links.use_sign_in(hashes, NewSignIn("web", "x:2", "page", now_ms * 2), now_ms)


async def test_the_cli_is_signed_in_and_stays_so(founder: Founder, profile: Profile) -> None:
    founded = await founder.found(None, "Jane")
    assert await founder.sign_in_cli(profile, NODES, founded) == NODES[0]
    first = profile.login()
    assert first is not None
    assert first.nodes == tuple(NODES)
    assert first.workspace == founded.workspace.id
    await founder.sign_in_cli(profile, NODES, founded)
    assert profile.login() == first


async def test_a_sign_in_that_the_registry_does_not_know_is_replaced(founder: Founder, profile: Profile) -> None:
    """As after the data folder was thrown away."""
    founded = await founder.found(None, "Jane")
    profile.save_login(Login(NODES[0], "rly_cli_of_another_life"))
    await founder.sign_in_cli(profile, NODES, founded)
    login = profile.login(NODES[0])
    assert login is not None
    assert login.token != "rly_cli_of_another_life"


async def test_a_login_elsewhere_stays_the_one_that_commands_use(founder: Founder, profile: Profile) -> None:
    elsewhere = Login("https://relay.example", "rly_cli_elsewhere")
    profile.save_login(elsewhere)
    founded = await founder.found(None, "Jane")
    assert await founder.sign_in_cli(profile, NODES, founded) == "https://relay.example"
    assert profile.login() == elsewhere
    assert profile.login(NODES[0]) is not None


async def test_a_login_at_another_local_cluster_gives_way(founder: Founder, profile: Profile) -> None:
    profile.save_login(Login("http://127.0.0.1:9000", "rly_cli_local"))
    founded = await founder.found(None, "Jane")
    assert await founder.sign_in_cli(profile, NODES, founded) == NODES[0]
    assert profile.login("http://127.0.0.1:9000") is not None


async def test_the_agent_keeps_one_token_that_only_its_user_can_read(founder: Founder, tmp_path: Path) -> None:
    founded = await founder.found(None, "Jane")
    path = tmp_path / "token"
    await founder.agent_token(path, founded)
    token = path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    await founder.agent_token(path, founded)
    assert path.read_text() == token
    path.write_text("rly_pat_of_another_life")
    await founder.agent_token(path, founded)
    assert path.read_text() not in {token, "rly_pat_of_another_life"}


async def test_two_first_starts_at_once_found_one_workspace(founder: Founder, database_url: str) -> None:
    other = await Founder.open(database_url, SECRET)
    try:
        made = await asyncio.gather(founder.found("acme", "Jane"), other.found("other", "Joe"))
    finally:
        await other.close()
    assert made[0] == made[1]


def test_the_data_folder_is_private_and_keeps_its_secret(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "new" / "data")
    with folder.held():
        secret = folder.secret.read_text()
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    assert stat.S_IMODE(folder.secret.stat().st_mode) == 0o600
    assert len(secret) >= 32
    with folder.held():
        assert folder.secret.read_text() == secret


def test_a_folder_in_use_is_refused_with_the_process_that_uses_it(tmp_path: Path) -> None:
    with DataFolder(tmp_path).held(), pytest.raises(Misconfigured, match=r"another relay dev \(process \d+\)"):  # noqa: SIM117
        with DataFolder(tmp_path).held():
            pass


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Misconfigured, match=r"cannot write to .*file/data: Not a directory"):  # noqa: SIM117
        with DataFolder(tmp_path / "file" / "data").held():
            pass


def test_the_state_folder_is_where_xdg_says(tmp_path: Path) -> None:
    assert default_folder({"XDG_STATE_HOME": str(tmp_path)}) == tmp_path / "relay"
    assert default_folder({"XDG_STATE_HOME": "relative"}) == Path.home() / ".local/state/relay"
