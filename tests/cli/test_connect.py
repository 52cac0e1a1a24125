"""Tests of `relay connect` in a real terminal, against a real cluster and a real shell."""

from __future__ import annotations

import signal

import pytest

from tests.cli.person import Person, Terminal
from tests.support.cluster import Team

pytestmark = pytest.mark.xdist_group("cli")


def at_prompt(person: Person, *words: str, size: tuple[int, int] = (80, 24)) -> Terminal:
    """A terminal in which a remote shell has answered."""
    terminal = person.terminal("connect", "mac-studio", *words, size=size)
    terminal.type(b"echo rea''dy\n")
    terminal.shows(b"ready\r\n")
    return terminal


def session_of(person: Person) -> str:
    """The id of the newest live session."""
    live = [each for each in person.json("sessions", "list", "mac-studio")["sessions"] if not each.get("endedAt")]
    return str(live[0]["id"])


def test_a_shell_of_the_machine_answers_and_its_exit_code_is_ours(jane: Person) -> None:
    with at_prompt(jane) as terminal:
        terminal.type(b"echo $((6*7)); exit 7\n")
        terminal.shows(b"42")
        terminal.shows(b"relay: the session has ended")
        assert terminal.ends() == 7
        assert terminal.modes() == terminal.before


@pytest.mark.parametrize("keys", [b"\r~.", b"\x1d"])
def test_leaving_keeps_the_session_and_puts_the_terminal_back(jane: Person, keys: bytes) -> None:
    with at_prompt(jane) as terminal:
        terminal.type(b"left=behind\n")
        terminal.type(keys)
        said = terminal.shows(b"--session ")
        assert b"relay: left; the session goes on" in said
        assert terminal.ends() == 0
        assert terminal.modes() == terminal.before
    session = session_of(jane)
    with jane.terminal("connect", "mac-studio", "--session", session[:8]) as again:
        again.type(b"echo still=$left\n")
        again.shows(b"still=behind")
        again.type(b"exit\n")
        assert again.ends() == 0


def test_a_session_that_takes_no_more_input_can_be_left(jane: Person) -> None:
    """64 KiB are under way at most; more than that waits, and the leaving keys are found behind it."""
    with at_prompt(jane) as terminal:
        terminal.type(b"stty -echo; echo do''ne; sleep 60\n")
        terminal.shows(b"done")
        for _ in range(64):
            terminal.type(b"x" * 4095 + b"\n")
        terminal.type(b"\r~.")
        terminal.shows(b"relay: left")
        assert terminal.ends() == 0
        assert terminal.modes() == terminal.before
    jane.run("sessions", "end", "mac-studio", session_of(jane))


def test_a_tilde_that_means_nothing_is_typed(jane: Person) -> None:
    with at_prompt(jane) as terminal:
        terminal.type(b"echo x~.y\n")
        terminal.shows(b"\rx~.y")
        terminal.type(b"~~\n")
        terminal.shows(b"~")
        terminal.type(b"exit\n")
        terminal.ends()


def test_the_remote_terminal_has_the_size_of_this_one_and_follows_it(jane: Person) -> None:
    with at_prompt(jane, size=(97, 31)) as terminal:
        terminal.type(b"stty size\n")
        terminal.shows(b"31 97")
        terminal.resize(120, 40)
        terminal.process.send_signal(signal.SIGWINCH)
        terminal.type(b"while test \"$(stty size)\" != '40 120'; do :; done; echo follo''wed\n")
        terminal.shows(b"followed")
        terminal.type(b"exit\n")
        terminal.ends()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_with_the_terminal_put_back(jane: Person, number: signal.Signals) -> None:
    with at_prompt(jane) as terminal:
        terminal.process.send_signal(number)
        terminal.shows(b"relay: left")
        terminal.ends()
        assert terminal.modes() == terminal.before
    jane.run("sessions", "end", "mac-studio", session_of(jane))


def test_a_watcher_sees_and_does_not_type_until_it_takes_the_keyboard(jane: Person) -> None:
    with at_prompt(jane) as driver:
        session = session_of(jane)
        with jane.terminal("connect", "mac-studio", "--watch", "--session", session) as watcher:
            watcher.shows(b"ready\r\n")
            watcher.type(b"echo from-the-watcher\n")
            driver.type(b"echo from-the-''driver\n")
            assert b"from-the-watcher" not in watcher.shows(b"from-the-driver")
            watcher.type(b"\x1d")
            watcher.ends()
        with jane.terminal("connect", "mac-studio", "--take", "--session", session) as taker:
            driver.shows(b"has the keyboard now")
            taker.type(b"echo tak''en; exit\n")
            taker.shows(b"taken")
            assert taker.ends() == 0
        assert driver.ends() == 0


@pytest.mark.parametrize(
    ("name", "code", "said"), [("no\x1b[2Jsuch", 64, b"control"), ("no\u202esuch", 66, rb"\u202e")]
)
def test_lines_of_ours_cannot_steer_the_terminal(jane: Person, name: str, code: int, said: bytes) -> None:
    with jane.terminal("connect", name) as terminal:
        assert terminal.ends() == code
        assert b"\x1b" not in terminal.shown
        assert said in terminal.shown


def test_without_a_terminal_the_way_to_go_is_said(jane: Person) -> None:
    assert "relay exec" in jane.run("connect", "mac-studio", code=64).stderr
    assert "name a machine" in jane.run("connect", code=64).stderr
    assert "exclude" in jane.run("connect", "mac-studio", "--watch", "--take", code=64).stderr
    assert "--list" in jane.run("connect", "--json", code=64).stderr


def test_watching_where_nothing_runs_is_said(owner: Person, fresh: Team) -> None:
    fresh.agent("idle")
    with owner.terminal("connect", "idle", "--watch") as terminal:
        assert terminal.ends() == 66
        assert b"no session is open on idle" in terminal.shown


def test_a_lost_node_is_survived_and_said(owner: Person, fresh: Team) -> None:
    """The node that the person is on is stopped for good; the shell goes on through the other one."""
    agent = fresh.agent("survivor")
    doomed = fresh.cluster.other(agent.node)
    with owner.terminal("connect", "survivor") as terminal:
        terminal.type(b"echo rea''dy\n")
        terminal.shows(b"ready\r\n")
        fresh.cluster.node_at(doomed).kill()
        terminal.type(b"echo aft''er\n")
        terminal.shows(b"after\r\n")
        terminal.type(b"exit 5\n")
        assert terminal.ends() == 5
    fresh.cluster.node_at(doomed).start_again()
    fresh.cluster.wait_ready(doomed)


def test_a_machine_that_loses_its_socket_comes_back_to_the_same_shell(owner: Person, fresh: Team) -> None:
    """What is typed while it is away is applied once, and nothing that it printed meanwhile is missing."""
    fresh.agent("kicked")
    with owner.terminal("connect", "kicked") as terminal:
        terminal.type(b"n=0; echo rea''dy\n")
        terminal.shows(b"ready\r\n")
        owner.run("machines", "kick", "kicked")
        terminal.type(b"n=$((n+1)); echo n=''$n\n")
        terminal.shows(b"relay: back")
        terminal.shows(b"n=1\r\n")
        terminal.type(b"exit $n\n")
        assert terminal.ends() == 1


def test_the_picker_finds_a_machine_and_connects(jane: Person) -> None:
    with jane.terminal("connect", size=(120, 30)) as terminal:
        terminal.shows(b"mac-studio")
        terminal.type(b"stud")
        terminal.type(b"\r")
        terminal.shows(b"\x1b[?1049l")  # the picker has given the screen back
        terminal.shows(b"\x1b[?2004h")  # and the shell is reading
        terminal.type(b"echo pick''ed; exit\n")
        terminal.shows(b"picked")
        assert terminal.ends() == 0
        assert terminal.modes() == terminal.before


def test_the_picker_can_be_left(jane: Person) -> None:
    with jane.terminal("connect", size=(120, 30)) as terminal:
        terminal.shows(b"mac-studio")
        terminal.type(b"\x1b")
        assert terminal.ends() == 0
