"""Shows that thresholds are read before any load is made, refuse what nothing can judge, and judge what was seen."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from loadtests.report import options
from loadtests.report.histogram import Histogram
from loadtests.report.summary import Phase, Process, Series, Summary, Totals, concluded
from loadtests.report.thresholds import Refused, judge, threshold, thresholds

LATENCIES = ("delivery", "connect")


def run(**changed: object) -> Summary:
    """A run of ten seconds with a hundred deliveries of 1 to 100 ms."""
    histogram = Histogram()
    for milliseconds in range(1, 101):
        histogram.add(milliseconds)
    fields: dict[str, object] = {
        "totals": Totals(frames=5000, bytes=2**20, errors=3),
        "latencies": {"delivery": histogram.latency()},
        "closes": {"browser": {"1006": 2, "4200": 5}},
        "series": Series(1.0, {"cpu.node-1": [10.0, 95.0, None], "rss.node-1": [1.0, 2.0, 3.0]}),
        "servers": [Process("node-1", 4.0, 300 * 2**20, 7.5), Process("node-2", 6.0, 500 * 2**20, None)],
    }
    return Summary(scenario="fanout", seed=1, started="2026-11-22T12:00:00Z", seconds=10.0, **(fields | changed))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "value", "held"),
    [
        ("delivery.p50 <= 51ms", 50.0, True),
        ("delivery.p99 < 0.05s", 99.0, False),
        ("delivery.p99.9 < 101ms", 100.0, True),
        ("delivery.p75 > 70ms", 75.0, True),
        ("delivery.max == 100ms", 100.0, True),
        ("delivery.count >= 100", 100.0, True),
        ("connect.p99 < 1s", None, False),  # what was not measured holds nothing
        ("connect.count > 0", None, False),
        ("totals.lost == 0", 0.0, True),
        ("totals.errors == 0", 3.0, False),
        ("totals.bytes <= 1MiB", 2.0**20, True),
        ("rates.frames >= 500/s", 500.0, True),
        ("rates.frames > 60000/min", 500.0, False),
        ("closes.browser.1006 == 0", 2.0, False),
        ("closes.browser.1011 == 0", 0.0, True),
        ("closes.browser.total != 6", 7.0, True),
        ("closes.agent.total == 0", 0.0, True),
        ("servers.rss_max < 400MiB", 500.0 * 2**20, False),
        ("servers.node-1.rss_max < 400MiB", 300.0 * 2**20, True),
        ("servers.cpu_seconds < 11s", 10_000.0, True),
        ("servers.cpu_max < 90%", 95.0, False),
        ("servers.loop_lag_p99 < 10ms", 7.5, True),
        ("servers.node-2.loop_lag_p99 < 10ms", None, False),
    ],
)
def test_a_threshold_judges_what_was_measured(text: str, value: float | None, held: bool) -> None:
    judged = threshold(text, LATENCIES, ["node-1", "node-2"]).judge(run())
    assert judged.value == (None if value is None else pytest.approx(value, rel=0.02))
    assert (judged.text, judged.held) == (text, held)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("delivery.p99", "expected NAME.STAT OP NUMBER[UNIT]"),
        ("delivery.p99 =< 5ms", "expected NAME.STAT OP NUMBER[UNIT]"),
        ("delivery.p99 < fast", "expected NAME.STAT OP NUMBER[UNIT]"),
        ("delivery.p99 < 5ms or so", "expected NAME.STAT OP NUMBER[UNIT]"),
        ("", "expected NAME.STAT OP NUMBER[UNIT]"),
        ("delivery.p99 < 250", "expected a number with one of ms, us, µs, s, min"),
        ("delivery.p99 < 5MiB", "expected a number with one of ms, us, µs, s, min"),
        ("totals.lost == 0ms", "expected a number without a unit"),
        ("delivry.p99 < 5ms", "expected a name that begins with one of connect, delivery, totals"),
        ("delivery < 5ms", "expected p50, p90, p99, p99.9, any other percentile, max or count"),
        ("delivery.p101 < 5ms", "expected p50, p90, p99, p99.9, any other percentile, max or count"),
        ("delivery.mean < 5ms", "expected p50, p90, p99, p99.9, any other percentile, max or count"),
        ("totals.losses == 0", "expected one of frames, bytes, lost"),
        ("rates.rss > 1/s", "expected one of frames, bytes, lost"),
        ("closes.sweeper.1006 == 0", "a role of agent or browser"),
        ("closes.browser.16 == 0", "a role of agent or browser"),
        ("servers.rss < 5MiB", "expected one of rss_max, rss_slope, cpu_max"),
        ("servers.node-9.rss_max < 5MiB", "expected no server's name or one of node-1, node-2"),
    ],
)
def test_what_cannot_be_judged_is_refused_with_what_was_expected(text: str, expected: str) -> None:
    with pytest.raises(Refused, match="expected") as refused:
        threshold(text, LATENCIES, ["node-1", "node-2"])
    assert str(refused.value).startswith(repr(text))
    assert expected in str(refused.value)


def test_a_file_may_have_comments_and_names_the_line_of_everything_that_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "thresholds"
    file.write_text("# of the fan-out\ndelivery.p99 < 250ms  # as promised\n\ntotals.lost == 0\n")
    assert [one.text for one in thresholds(["connect.max < 1s"], [file], LATENCIES)] == [
        "connect.max < 1s",
        "delivery.p99 < 250ms",
        "totals.lost == 0",
    ]
    file.write_text("delivery.p99 < 250ms\n\ndelivery.p99 < soon\ntotals.found == 0\n")
    with pytest.raises(Refused) as refused:
        thresholds([], [file], LATENCIES)
    first, second = str(refused.value).splitlines()
    assert first.startswith(f"{file}:3: 'delivery.p99 < soon': expected NAME.STAT OP")
    assert second.startswith(f"{file}:4: 'totals.found == 0': expected one of frames")
    with pytest.raises(Refused, match="No such file"):
        thresholds([], [tmp_path / "absent"], LATENCIES)


def test_a_run_with_a_threshold_that_does_not_parse_ends_with_64_before_it_begins(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = argparse.ArgumentParser()
    options.add(parser)
    with pytest.raises(SystemExit) as ended:
        options.read(parser.parse_args(["--threshold", "delivery.p99 <"]), LATENCIES)
    assert ended.value.code == 64
    assert capsys.readouterr().err.startswith("relay: threshold 'delivery.p99 <': expected")
    with pytest.raises(SystemExit) as ended:
        options.read(parser.parse_args(["--report", str(tmp_path / "absent" / "report.html")]), LATENCIES)
    assert ended.value.code == 64
    assert "no such folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("summary", "threshold_text", "code", "verdict"),
    [
        (run(), "delivery.p99 < 1s", 0, "held"),
        (run(), "delivery.p99 < 1ms", 99, "exceeded"),
        (run(totals=Totals(lost=1)), "delivery.p99 < 1s", 1, "void"),
        (run(totals=Totals(duplicated=1)), "delivery.p99 < 1ms", 1, "void"),
        (run(totals=Totals(reordered=1)), "delivery.p99 < 1s", 1, "void"),
        (run(violations=["a machine was shown offline"]), "delivery.p99 < 1s", 1, "void"),
    ],
)
def test_the_exit_code_tells_a_threshold_that_was_exceeded_from_a_frame_that_was_lost(
    summary: Summary, threshold_text: str, code: int, verdict: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = argparse.ArgumentParser()
    options.add(parser)
    words = ["--threshold", threshold_text, "--summary", str(tmp_path / "s.json"), "--report", str(tmp_path / "r.html")]
    given = parser.parse_args(words)
    assert options.finish(summary, given, options.read(given, LATENCIES)) == code
    assert f'"verdict": "{verdict}"' in (tmp_path / "s.json").read_text()
    assert f"fanout: {verdict}" in (tmp_path / "r.html").read_text()
    assert verdict.capitalize() in capsys.readouterr().out


def test_a_leak_is_told_from_the_memory_that_a_ramp_takes() -> None:
    ramp, hold = [index * 2.0**20 for index in range(20)], [20 * 2.0**20] * 60
    text = "servers.rss_slope < 10MiB/h"
    phases = [Phase("ramp", 0, 20), Phase("hold", 20, 80)]
    steady = run(series=Series(1.0, {"rss.node-1": [*ramp, *hold]}), phases=phases)
    assert threshold(text, ()).judge(steady).held
    leaking = [value + index * 2**20 / 300 for index, value in enumerate(hold)]
    leak = run(series=Series(1.0, {"rss.node-1": [*ramp, *leaking]}), phases=phases)
    judged = threshold(text, ()).judge(leak)
    assert not judged.held
    assert judged.value == pytest.approx(12, rel=0.01)


def test_thresholds_are_kept_in_the_order_in_which_they_were_given() -> None:
    given = thresholds(["totals.lost == 0", "delivery.p99 < 1ms"], [], LATENCIES)
    done = concluded(run(), judge(given, run()))
    assert [(one.text, one.held) for one in done.thresholds] == [
        ("totals.lost == 0", True),
        ("delivery.p99 < 1ms", False),
    ]
