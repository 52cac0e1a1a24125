"""Tests of the command line's pure pieces: escape keys, tables, ages, outcomes."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from relay.cli import picker
from relay.cli.escape_keys import EscapeKeys
from relay.cli.outcome import CAPTURE_BYTES, Capture, Outcome
from relay.cli.place import Place
from relay.cli.raw_terminal import RawTerminal
from relay.cli.serve import _log_for_people
from relay.cli.table import age, print_json, print_table, seconds_between, width
from relay.errors import Offline


def fed(*reads: bytes) -> tuple[bytes, bool]:
    keys, sent = EscapeKeys(), b""
    for read in reads:
        more, leave = keys.feed(read)
        sent += more
        if leave:
            return sent, True
    return sent, False


@pytest.mark.parametrize(
    ("reads", "sent", "leaves"),
    [
        ((b"~.",), b"", True),  # the first line begins at once
        ((b"ls\r~.",), b"ls\r", True),
        ((b"ls\r", b"~", b"."), b"ls\r", True),  # keys come one by one
        ((b"ls~.",), b"ls~.", False),
        ((b"\r~~.",), b"\r~.", False),
        ((b"\r~x",), b"\r~x", False),
        ((b"\r~\r~.",), b"\r~\r", True),
        ((b"a\x1dB",), b"a", True),
        ((b"\n~.",), b"\n", True),
        ((b"x~~y",), b"x~~y", False),
    ],
)
def test_only_the_leaving_keys_leave(reads: tuple[bytes, ...], sent: bytes, leaves: bool) -> None:
    assert fed(*reads) == (sent, leaves)


@given(st.lists(st.sampled_from([b"a", b"~", b".", b"\r", b"\n"]), max_size=12))
def test_it_does_not_matter_how_keys_are_read(keys: list[bytes]) -> None:
    assert fed(*keys) == fed(b"".join(keys))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "—"), (-3, "0s"), (4.9, "4s"), (252, "4m12s"), (3_600, "1h00m"), (11_100, "3h05m"), (1_051_200, "12d4h")],
)
def test_an_age_is_its_two_largest_units(seconds: float | None, text: str) -> None:
    assert age(seconds) == text


def test_a_span_needs_both_its_ends() -> None:
    assert seconds_between("2026-11-22T10:00:00.000Z", "2026-11-22T10:00:04.500Z") == 4.5
    assert seconds_between(None, "2026-11-22T10:00:00.000Z") is None


def test_columns_are_aligned_by_what_a_terminal_shows(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("A", "B"), [("機械", "x"), ("e\u0301", "y"), ("plain", "z")])
    assert capsys.readouterr().out == "A      B\n機械   x\ne\u0301      y\nplain  z\n"
    assert width("機械") == 4


def test_nothing_in_a_table_steers_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("A", "B"), [("\x1b[2J", "a\nb")])
    assert capsys.readouterr().out == "A        B\n\\x1b[2J  a\\nb\n"


def test_nothing_in_json_steers_the_terminal_or_changes_on_the_way(capsys: pytest.CaptureFixture[str]) -> None:
    text = "\x9b2J \u202e \x7f \x1b 機械 \U000e0001"
    print_json(name=text)
    shown = capsys.readouterr().out
    assert all(each.isprintable() for each in shown.replace("\n", ""))
    assert "機械" in shown
    assert json.loads(shown) == {"schema": 1, "name": text}


async def test_a_program_that_was_left_on_the_other_screen_leaves_this_terminal_on_its_own() -> None:
    for pieces, left_on in (
        ((b"\x1b[?10", b"49h"), True),
        ((b"\x1b[?1049h", b"text", b"\x1b[?104", b"9l"), False),
        ((b"\x1b[?1049l\x1b[?1049h",), True),
        ((b"text",), False),
    ):
        out, into = os.pipe()
        try:
            terminal = RawTerminal(0, into)
            for piece in pieces:
                await terminal.show(piece)
            os.read(out, 4_096)
            terminal.calm()
            assert os.read(out, 4_096).startswith(b"\x1b[?1049l") == left_on
        finally:
            os.close(out)
            os.close(into)


async def test_the_picker_shows_brackets_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    operator = {"user": "[red]ravi", "client": "[/]"}
    machine: dict[str, Any]
    machine = {"id": "8f23c1d2-0000-4000-8000-000000000001", "name": "prod", "hostname": "[b]prod", "online": True}
    machine |= {"heartbeatAgeSeconds": 1, "activeSession": {"operator": operator}}
    monkeypatch.setattr(picker, "fetch", lambda _place: ([machine], ""))
    app = picker.Picker(Place(["http://relay.test"], "x", None))
    async with app.run_test() as pilot:
        await pilot.pause()
        cells = [str(cell) for cell in app.table.get_row_at(0)]
        await pilot.press("enter")
    assert cells == ["prod", "[b]prod", "8f23…", "yes", "1s", "active ([red]ravi@[/])"]
    assert app.return_value == machine


def test_the_log_of_the_agent_cannot_steer_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    _log_for_people()
    try:
        structlog.get_logger().info("session\x1b[2J opened", user="jane", client="\x1b]0;pwned\x07")
    finally:
        structlog.reset_defaults()
    assert capfd.readouterr().err.endswith("  session\\x1b[2J opened  user=jane  client=\\x1b]0;pwned\\x07\n")


def test_a_captured_stream_is_cut_and_says_so() -> None:
    capture = Capture()
    capture.add(b"x" * CAPTURE_BYTES)
    assert "outTruncated" not in capture.fields("out")
    capture.add(b"y")
    assert capture.fields("out")["outTruncated"] is True
    assert len(capture.fields("out")["out"]) == CAPTURE_BYTES


def test_an_outcome_is_the_commands_own_or_ours() -> None:
    outcome = Outcome({"id": "1", "name": "m", "hostname": "h", "pid": 7})
    outcome.code = 3
    assert outcome.exit_code == 3
    assert outcome.as_json()["machine"] == {"id": "1", "name": "m", "hostname": "h"}
    outcome.code, outcome.signal = None, 15
    assert outcome.exit_code == 143
    assert outcome.as_json()["signal"] == 15
    outcome.error = Offline("gone", lastSeenAt="then")
    assert outcome.exit_code == 69
    assert outcome.as_json()["error"] == {"code": "offline", "message": "gone", "lastSeenAt": "then"}
