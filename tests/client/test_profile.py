"""Tests of the files in the config folder: modes, what replaces what, and what broken ones say."""

from __future__ import annotations

import json
import stat
import threading
from pathlib import Path

import pytest

from relay.client.profile import Enrolment, Login, Profile, canonical_url, config_folder, split_urls
from relay.errors import Misconfigured

HERE = "http://127.0.0.1:8000"
THERE = "https://relay.example.com"


def test_the_folder_is_the_chosen_one_then_the_xdg_one(tmp_path: Path) -> None:
    assert config_folder({"RELAY_CONFIG_DIR": "/a", "XDG_CONFIG_HOME": "/b"}) == Path("/a")
    assert config_folder({"XDG_CONFIG_HOME": "/b"}) == Path("/b/relay")
    assert config_folder({}) == Path.home() / ".config" / "relay"
    assert config_folder({"XDG_CONFIG_HOME": "relative"}) == Path.home() / ".config" / "relay"


def test_nothing_is_kept_before_the_first_sign_in(tmp_path: Path) -> None:
    profile = Profile(tmp_path / "none")
    assert profile.current() is None
    assert profile.login() is None
    assert profile.enrolment(HERE) is None
    assert not (tmp_path / "none").exists()


def test_a_sign_in_is_kept_by_url_for_this_user_alone(tmp_path: Path) -> None:
    profile = Profile(tmp_path / "relay")
    login = Login(HERE, "rly_cli_secret", "jane", "w1", ("http://127.0.0.1:8001",))
    profile.save_login(login)
    assert profile.login() == login
    assert json.loads((tmp_path / "relay/credentials.json").read_text())[HERE]["token"] == "rly_cli_secret"
    assert stat.S_IMODE((tmp_path / "relay/credentials.json").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "relay").stat().st_mode) == 0o700


def test_a_sign_in_that_shall_not_become_current_leaves_the_other_one_current(tmp_path: Path) -> None:
    profile = Profile(tmp_path)
    profile.save_login(Login(THERE, "theirs"))
    profile.save_login(Login(HERE, "ours"), make_current=False)
    assert profile.current() == THERE
    assert profile.login(HERE) == Login(HERE, "ours")


def test_the_first_sign_in_is_current_in_any_case(tmp_path: Path) -> None:
    profile = Profile(tmp_path)
    profile.save_login(Login(HERE, "ours"), make_current=False)
    assert profile.current() == HERE


def test_forgetting_the_current_sign_in_makes_another_one_current(tmp_path: Path) -> None:
    profile = Profile(tmp_path)
    profile.save_login(Login(THERE, "theirs"))
    profile.save_login(Login(HERE, "ours"))
    assert profile.forget_login(HERE)
    assert profile.current() == THERE
    assert not profile.forget_login(HERE)
    assert profile.forget_login(THERE)
    assert profile.current() is None


def test_the_word_current_is_no_sign_in(tmp_path: Path) -> None:
    profile = Profile(tmp_path)
    profile.save_login(Login(HERE, "ours"))
    assert profile.login("current") is None
    assert [login.url for login in profile.logins()] == [HERE]


def test_a_machine_is_kept_by_url_and_forgotten_alone(tmp_path: Path) -> None:
    profile = Profile(tmp_path)
    entry = Enrolment(HERE, "instance", "machine", "rly_mach_x", 7, False, (THERE,))
    profile.save_enrolment(entry)
    profile.save_enrolment(Enrolment(THERE, "instance-2", revoked=True))
    assert profile.enrolment(HERE) == entry
    assert stat.S_IMODE((tmp_path / "machine.json").stat().st_mode) == 0o600
    assert profile.forget_enrolment(HERE)
    assert [each.url for each in profile.enrolments()] == [THERE]
    assert profile.enrolments()[0].revoked


@pytest.mark.parametrize("content", ["{", "[]", '{"http://x": 3}'])
def test_a_broken_file_is_one_clear_line_that_names_it(tmp_path: Path, content: str) -> None:
    (tmp_path / "credentials.json").write_text(content)
    with pytest.raises(Misconfigured, match=r"credentials\.json"):
        Profile(tmp_path).login()


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Misconfigured, match="cannot be written"):
        Profile(tmp_path / "file" / "relay").save_login(Login(HERE, "x"))


def test_two_commands_at_once_lose_nothing_of_each_other(tmp_path: Path) -> None:
    def save(number: int) -> None:
        Profile(tmp_path).save_login(Login(f"http://host-{number}", "x"))

    threads = [threading.Thread(target=save, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(Profile(tmp_path).logins()) == 20
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".credentials")] == []


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("HTTPS://Relay.Example.COM/", "https://relay.example.com"),
        ("https://relay.example.com:443", "https://relay.example.com"),
        ("http://127.0.0.1:8000", HERE),
        ("relay.example.com", "https://relay.example.com"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_an_address_has_one_spelling(text: str, url: str) -> None:
    assert canonical_url(text) == url


@pytest.mark.parametrize("text", ["", "ftp://x", "http://", "http://user:pw@x", "http://x/path", "http://x:port"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(Misconfigured):
        canonical_url(text)


def test_several_nodes_may_be_listed() -> None:
    assert split_urls("http://a:1, http://b:2 http://a:1") == ["http://a:1", "http://b:2"]
    with pytest.raises(Misconfigured):
        split_urls(" , ")
