"""Tests what programs on a machine are started with."""

from __future__ import annotations

from pathlib import Path

import pytest

from relay.agent import environment
from relay.agent.environment import Account
from relay.errors import Invalid

JANE = Account("jane", "/home/jane", "/bin/zsh")


def variables(
    inherited: dict[str, str], asked: dict[str, str] | None = None, *, terminal: bool = True
) -> dict[str, str]:
    return environment.variables(inherited, JANE, asked or {}, terminal=terminal)


def test_nothing_of_ours_is_inherited() -> None:
    found = variables({"RELAY_TOKEN": "secret", "RELAY_URL": "https://x", "EDITOR": "vi"})
    assert not [name for name in found if name.startswith("RELAY_")]
    assert found["EDITOR"] == "vi"


def test_a_locale_is_set_only_when_there_is_none() -> None:
    assert variables({})["LANG"] == "C.UTF-8"
    assert variables({"LANG": ""})["LANG"] == "C.UTF-8"
    assert variables({"LANG": "de_DE.UTF-8"})["LANG"] == "de_DE.UTF-8"
    assert "LANG" not in variables({"LC_ALL": "en_US.UTF-8"})


def test_a_terminal_is_the_persons_and_not_the_agents() -> None:
    found = variables({"TERM": "dumb", "COLUMNS": "40", "LINES": "10"})
    assert found["TERM"] == "xterm-256color"
    assert "COLUMNS" not in found
    assert variables({"TERM": "dumb"}, terminal=False)["TERM"] == "dumb"


def test_the_account_fills_in_what_is_missing() -> None:
    found = variables({"HOME": "/elsewhere"})
    assert (found["HOME"], found["USER"], found["LOGNAME"], found["SHELL"]) == (
        "/elsewhere",
        "jane",
        "jane",
        "/bin/zsh",
    )


def test_what_the_person_asks_for_wins() -> None:
    assert variables({"A": "1", "LANG": "x"}, {"A": "2", "LANG": "y"})["A"] == "2"


@pytest.mark.parametrize(("name", "value"), [("", "x"), ("A=B", "x"), ("A", "x\0y"), ("A\0", "x")])
def test_variables_that_no_system_takes_are_refused(name: str, value: str) -> None:
    with pytest.raises(Invalid):
        variables({}, {name: value})


def test_the_shell_is_the_accounts_then_the_environments_then_what_every_system_has() -> None:
    nobody = Account("x", "/", "")
    assert environment.shell({"SHELL": "/bin/fish"}, JANE) == "/bin/zsh"
    assert environment.shell({"SHELL": "/bin/fish"}, nobody) == "/bin/fish"
    assert environment.shell({}, nobody) == "/bin/sh"


def test_folders_are_relative_to_home(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    home = Account("jane", str(tmp_path), "")
    assert environment.folder(None, home) == str(tmp_path)
    assert environment.folder("~", home) == str(tmp_path)
    assert environment.folder("~/src", home) == str(tmp_path / "src")
    assert environment.folder("src", home) == str(tmp_path / "src")
    assert environment.folder("/", home) == "/"
    assert environment.folder(None, Account("x", str(tmp_path / "gone"), "")) == "/"


@pytest.mark.parametrize("path", ["gone", "/no/such/folder", "a\0b"])
def test_a_folder_that_is_not_there_is_refused(path: str, tmp_path: Path) -> None:
    with pytest.raises(Invalid):
        environment.folder(path, Account("jane", str(tmp_path), ""))
