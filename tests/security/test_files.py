"""Shows that nobody else reads what we keep, whatever the umask, the folder, or who was there before."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.agent.history import History
from relay.agent.startup import only_agent
from relay.client import private_files
from relay.client.private_files import open_own, read_own, replace_file
from relay.client.profile import Enrolment, Login, Profile
from relay.dev.engine import Loopback, write_configuration
from relay.dev.folder import DataFolder
from relay.errors import Misconfigured
from relay.registry import migrate

URL = "http://127.0.0.1:8000"


@pytest.fixture(params=[0o000, 0o077], ids=["umask 000", "umask 077"])
def _umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    """The permissions of a file."""
    return stat.S_IMODE(path.lstat().st_mode)


def modes(folder: Path) -> dict[Path, int]:
    """The permissions of everything in a folder."""
    return {path: mode(path) for path in folder.rglob("*")}


@pytest.mark.usefixtures("_umask")
async def test_everything_that_is_written_is_its_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    config, data = tmp_path / "made" / "config", DataFolder(tmp_path / "data")
    profile = Profile(config)
    profile.save_login(Login(URL, "rly_cli_secret"))
    profile.save_enrolment(Enrolment(URL, "instance", "machine", "rly_mach_secret"))
    history = History(config / "agent.sqlite3")
    with only_agent(config / "agent.lock"), data.held():
        await history.open(1.0)
        write_configuration(data.engine, Loopback(1, "secret"))
        await migrate(f"sqlite+aiosqlite:///{data.database}")
        found = modes(tmp_path)
        await history.close()
    files = {path.name for path in found if path.is_file()}
    assert {"credentials.json", "machine.json", "agent.lock", "secret", "relay.db", "engine.conf"} <= files
    assert {"agent.sqlite3", "agent.sqlite3-wal", "agent.sqlite3-shm"} <= {path.name for path in found}
    for path, bits in found.items():
        assert bits & 0o077 == 0, f"{path.name} is {bits:o}"


async def test_what_was_open_to_others_before_is_closed_when_it_is_used(tmp_path: Path) -> None:
    """Restored from a backup, say, or made by hand."""
    for name in ("credentials.json", "history.sqlite3", "logs"):
        path = tmp_path / name
        path.mkdir() if name == "logs" else path.write_text("{}" if name.endswith("json") else "")
        path.chmod(0o777 if name == "logs" else 0o666)
    Profile(tmp_path).login()
    history = History(tmp_path / "history.sqlite3")
    await history.open(1.0)
    await history.close()
    with DataFolder(tmp_path).held():
        found = {name: mode(tmp_path / name) for name in ("credentials.json", "history.sqlite3", "logs")}
    assert found == {"credentials.json": 0o600, "history.sqlite3": 0o600, "logs": 0o700}


def test_a_folder_in_which_everybody_can_exchange_what_is_there_is_refused(tmp_path: Path) -> None:
    """Whatever the modes of the files in it are."""
    tmp_path.chmod(0o777)
    with pytest.raises(Misconfigured, match="everybody"), DataFolder(tmp_path).held():
        pass
    tmp_path.chmod(0o1777)
    with DataFolder(tmp_path).held():
        assert mode(tmp_path / "logs") == 0o700


def test_a_link_that_somebody_left_in_our_place_is_not_followed(tmp_path: Path) -> None:
    """Truncating the lock of the agent would empty any file of this user."""
    precious = tmp_path / "precious"
    precious.write_text("kept")
    for name in ("agent.lock", ".lock", "lock"):
        (tmp_path / name).symlink_to(precious)
    with pytest.raises(Misconfigured), only_agent(tmp_path / "agent.lock"):
        pass
    with pytest.raises(Misconfigured):
        Profile(tmp_path).save_login(Login(URL, "x"))
    with pytest.raises(Misconfigured), DataFolder(tmp_path).held():
        pass
    assert precious.read_text() == "kept"


def test_a_replaced_file_takes_the_place_of_a_link_and_its_name_meanwhile_cannot_be_guessed(tmp_path: Path) -> None:
    precious, path = tmp_path / "precious", tmp_path / "credentials.json"
    precious.write_text("kept")
    path.symlink_to(precious)
    names = set()
    real = os.replace

    def noting(source: Path, target: Path) -> None:
        names.add(source.name)
        real(source, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", noting)
        for _ in range(2):
            replace_file(path, b"secret")
    assert (precious.read_text(), path.read_text(), path.is_symlink()) == ("kept", "secret", False)
    assert len(names) == 2


@pytest.mark.parametrize("use", [read_own, open_own])
def test_a_file_that_somebody_else_put_into_a_folder_for_everybody_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use: object
) -> None:
    """It would say to which relay this machine gives its shells."""
    planted = tmp_path / "credentials.json"
    planted.write_text("{}")
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 4711)
    monkeypatch.setattr(private_files, "ROOT", -1)
    assert callable(use)
    use(planted)  # in a folder where only its owner and we can write, such as a mounted volume
    tmp_path.chmod(0o1777)
    with pytest.raises(Misconfigured, match="somebody else"):
        use(planted)
