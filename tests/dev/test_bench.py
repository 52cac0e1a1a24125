"""Shows that the benchmark runs, notices every fault, and tells a missed goal from a row that does not count."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loadtests.bench import command, payloads, report, traffic
from loadtests.bench.contender import Topic
from loadtests.bench.rows import Findings, Row
from loadtests.bench.traffic import Traffic

pytestmark = pytest.mark.xdist_group("bench")

TELLING = Row("lone", "a row", "of something", 100.0, "more")


def run(*words: str) -> subprocess.CompletedProcess[str]:
    """The benchmark as people start it."""
    program = [sys.executable, "-m", "loadtests", "bench", *words]
    return subprocess.run(program, capture_output=True, text=True, check=False, timeout=110)


def test_every_kind_of_measurement_runs_small_too_and_loses_nothing(tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    sizes = ("--rounds", "1", "--seconds", "0.2", "--handshakes", "100", "--machines", "6400", "--compare", "starlette")
    done = run(*sizes, "--only", "one-to-50,handshakes,sweep", "--json", str(file))
    assert done.returncode in (0, 99), done.stdout + done.stderr  # goals are for a machine with nothing else to do
    data = json.loads(file.read_text())
    assert data["void"] == []
    found = {row["name"]: row["found"]["relay"]["median"] for row in data["rows"]}
    assert found["handshakes-failed"] == 0
    assert all(value > 0 for name, value in found.items() if name != "handshakes-failed"), found
    assert "| relay | starlette |" in report.table(data)


def stream(*indexes: int) -> bytes:
    """What a receiver reads for these payloads."""
    return b"".join(b"\x82\x7e\x00\x80" + payloads.payload(index) for index in indexes)


def framed(payload: bytes) -> bytes:
    """One message of that stream."""
    return b"\x82\x7e\x00\x80" + payload


@pytest.mark.parametrize(
    ("read", "wrong"),
    [
        (stream(0, 1, 2, 3, 0, 1), None),
        (b"\x81\x02{}\x89\x04ping" + stream(0, 1), None),
        (stream(0, 1, 2)[:-5], None),
        (stream(0, 2), "after 1 deliveries came payload 2, not 1"),
        (stream(0, 1, 1), "after 2 deliveries came payload 1, not 2"),
        (stream(1, 0), "after 0 deliveries came payload 1, not 0"),
        (stream(0, 1).replace(b"fox", b"dog"), "payload 0 arrived changed"),
        (stream(0) + stream(1).replace(b"\x7e\x00", b"\x7f\x00", 1), "the message around payload 1 arrived changed"),
        (b"", "nothing arrived"),
    ],
    ids=["right", "beside others", "cut", "lost", "repeated", "swapped", "changed", "reframed", "nothing"],
)
def test_a_delivery_that_is_lost_repeated_swapped_or_changed_is_named(read: bytes, wrong: str | None) -> None:
    assert payloads.fault(read, 4, framed) == wrong


Meddle = Callable[[int, bytes], bytes]  # what a server makes of the nth read


@pytest.mark.parametrize(
    ("meddle", "wrong"),
    [
        (lambda number, data: data, None),
        (lambda number, data: b"" if number == 5 else data, r"\d+ were published, a receiver got \d+"),
        (
            lambda number, data: data * 2 if number == 5 else data,
            r"\d+ were published, a receiver got \d+|after 6 deliv",
        ),
        (lambda number, data: data.replace(b"quick", b"QUICK") if number == 5 else data, "payload 5 arrived changed"),
    ],
    ids=["right", "lost", "repeated", "changed"],
)
def test_a_server_that_loses_repeats_or_changes_one_frame_of_thousands_is_found_out(
    meddle: Meddle, wrong: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traffic, "DRAIN_SECONDS", 1.0)
    publisher, taking = socket.socketpair()
    giving, receiver = socket.socketpair()

    meddled = threading.Event()

    def serve() -> None:
        number = 0
        with contextlib.suppress(BrokenPipeError):  # the load has gone, and does not wait for what is left
            while data := taking.recv(payloads.PAYLOAD_BYTES, socket.MSG_WAITALL):
                giving.sendall(meddle(number, data))
                number += 1
                if number > 5:
                    meddled.set()

    for end in (publisher, receiver):
        end.setblocking(False)
    server = threading.Thread(target=serve)
    server.start()
    load = Traffic([Topic(publisher, [receiver], lambda payload, count: payload * count)], in_flight=8)
    try:
        while not meddled.is_set():
            load.drive(0.05)
        found = load.drain()
    finally:
        load.close()
        server.join()
        taking.close()
        giving.close()
    assert (found is None) if wrong is None else re.match(wrong, found or "")


def result(*values: float, void: str | None = None) -> dict[str, Any]:
    """A result file with one row of ours."""
    findings = Findings()
    for value in values:
        findings.add(TELLING, report.OURS, value)
    if void:
        findings.void(TELLING, report.OURS, void)
    return report.as_data(findings, {"host": {}, "versions": {}, "options": {}, "leftOut": {}})


def test_the_exit_code_tells_a_missed_goal_from_a_row_that_does_not_count(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.tell(result(90.0, 101.0, 150.0)) == 0
    assert command.tell(result(90.0, 99.0, 150.0)) == 99
    assert "missed: lone: 99 of something, goal at least 100" in capsys.readouterr().out
    assert command.tell(result(101.0, void="a frame was lost")) == 1
    assert command.tell(result(void="a frame was lost")) == 1
    assert "void: lone (relay): a frame was lost" in capsys.readouterr().out


def test_a_goal_beside_another_system_is_judged_in_the_run_that_measured_both() -> None:
    row, findings = Row("pair", "a row", "of something", None, "more", ("other", 3.0)), Findings()
    findings.add(row, report.OURS, 29.0)
    assert findings.missed(report.OURS) == []
    findings.add(row, "other", 10.0)
    assert findings.missed(report.OURS) == ["pair: 2.90 times other, goal at least 3 times"]
    findings.add(row, report.OURS, 31.1)
    assert findings.missed(report.OURS) == []


def test_a_scenario_that_nobody_knows_is_refused_with_those_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.arguments(["--only", "one-to-51"])
    assert "unknown one-to-51; there are one-to-50," in capsys.readouterr().err
