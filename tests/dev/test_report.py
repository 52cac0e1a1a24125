"""Shows that a summary survives its file, that percentiles are right, and what a page and a live display say."""

from __future__ import annotations

import asyncio
import io
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from loadtests.report import command, summary
from loadtests.report.axis import fitting, linear, logarithmic, short, timed
from loadtests.report.histogram import Histogram
from loadtests.report.page import page
from loadtests.report.plots import joined
from loadtests.report.progress import Progress, State
from loadtests.report.summary import Judged, Latency, Phase, Process, Series, Summary, Totals, Unreadable

DURATIONS = st.lists(st.floats(0.001, 1e6), min_size=1, max_size=200)


def run() -> Summary:
    """A run with something in every field, a name that is HTML, and seconds in which nothing was seen."""
    histogram = Histogram()
    for number in range(1000):
        histogram.add(0.5 + number / 100)
    rows: dict[str, list[float | None]] = {
        "connections": [10.0, 20.0, 20.0, 0.0],
        "p99.delivery": [None, 3.0, 400.0, None],
        "cpu.node-1": [5.0, 90.0, 80.0, 1.0],
        "rss.node-1": [8e7, 9e7, 9e7, 9e7],
        "<b>row</b>": [1.0, 2.0, 3.0, 4.0],
    }
    return Summary(
        scenario="<script>alert(1)</script>",
        seed=7,
        started="2026-11-22T12:00:00Z",
        seconds=4.0,
        totals=Totals(frames=1000, lost=2),
        latencies={"delivery": histogram.latency(), "resume": Latency()},
        closes={"agent": {"4200": 5, "1006": 1}},
        series=Series(1.0, rows),
        servers=[Process("node-1", 1.8, 90_000_000, 2.5)],
        generators=[Process("generator-1", 0.5, 50_000_000)],
        phases=[Phase("ramp", 0, 1), Phase("hold", 1, 3.5)],
        thresholds=[Judged("delivery.p99 < 50ms", 10.4, True), Judged("totals.errors > 9", 0.0, False)],
        violations=["a machine was shown offline"],
        details={"times": {"halfSeconds": 1.4}},
        verdict="void",
    )


def test_a_summary_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "summary.json"
    summary.write(file, run())
    assert summary.read(file) == run()
    lines = file.read_text().splitlines()
    assert any(line.strip().startswith('"p99.delivery": [null,3.0,400.0,null]') for line in lines)  # a row is a line


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda text: text.replace('"schema": 1', '"schema": 2'), "schema 2, this program reads 1"),
        (lambda text: text[:-20], "JSON|truncated"),
        (lambda text: text.replace('"seconds": 4.0', '"seconds": "long"'), "seconds"),
        (lambda text: text.replace('"lost": 2', '"lost": -2'), "totals.lost is negative"),
        (lambda text: text.replace("[null,3.0,400.0,null]", "[3.0]"), "rows of the series differ"),
        (lambda text: text.replace('"p90": 9', '"p90": 99'), "a higher percentile is lower"),
        (lambda text: text.replace('"count": 1000', '"count": 999'), "does not hold as many"),
        (lambda text: text.replace('"count": 0', '"count": 1'), "percentiles and count do not agree"),
        (lambda text: text.replace('"to": 3.5', '"to": 0.5'), "'hold' ends before it begins"),
        (lambda text: text.replace('"interval_seconds": 1.0', '"interval_seconds": 0.0'), "not positive"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_summary_of_a_run_is_refused_with_what_is_wrong(
    change: object, why: str, tmp_path: Path
) -> None:
    file = tmp_path / "summary.json"
    summary.write(file, run())
    assert callable(change)
    file.write_text(change(file.read_text()))
    with pytest.raises(Unreadable, match=why):
        summary.read(file)


@given(DURATIONS, st.sampled_from([1.0, 50.0, 90.0, 99.0, 99.9, 100.0]))
def test_a_percentile_is_one_that_was_seen_to_one_percent(durations: list[float], percent: float) -> None:
    histogram = Histogram()
    for duration in durations:
        histogram.add(duration)
    seen = sorted(durations)[max(1, math.ceil(len(durations) * percent / 100)) - 1]
    found = histogram.percentile(percent)
    assert found is not None
    assert seen * (1 - 1e-9) <= found <= seen * 1.011


@given(DURATIONS, DURATIONS)
def test_two_processes_that_counted_apart_know_together_what_one_would(one: list[float], two: list[float]) -> None:
    together, left, right = Histogram(), Histogram(), Histogram()
    for duration in one:
        left.add(duration)
        together.add(duration)
    for duration in two:
        right.add(duration)
        together.add(duration)
    received = Histogram.of(left.pairs())
    assert received.latency() == left.latency()
    received.merge(right)
    assert received.latency() == together.latency()


def test_a_clock_that_was_set_back_does_not_end_a_run() -> None:
    histogram = Histogram()
    histogram.add(-5.0)
    histogram.add(0.0)
    assert (histogram.count, histogram.percentile(99)) == (2, 0.0)
    assert Histogram.of(histogram.pairs()).count == 2
    assert Histogram().percentile(50) is None


class Read(HTMLParser):
    """What a page holds, by tag."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: dict[str, list[dict[str, str | None]]] = {}
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.setdefault(tag, []).append(dict(attrs))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_page_asks_nobody_for_anything_and_runs_nothing() -> None:
    text = page(run())
    read = Read(text)
    assert "script" not in read.tags
    assert not read.tags.keys() & {"link", "img", "iframe", "b"}
    assert not re.search(r"https?://|@import|url\(", text)
    assert "<script>alert(1)</script>" in read.text  # as text


def test_a_page_says_first_whether_the_run_held_and_names_what_did_not() -> None:
    read = Read(page(run())).text
    places = [read.index(text) for text in ("Void:", "2 frames lost", "a machine was shown offline", "Thresholds")]
    assert places == sorted(places)
    assert read.index("totals.errors > 9") < read.index("delivery.p99 < 50ms")
    assert "10.4 ms" in read
    assert "halfSeconds" in read


def test_every_plot_has_a_title_of_its_own_and_a_table_behind_it() -> None:
    read = Read(page(run()))
    assert len(read.tags["svg"]) == len(read.tags["figure"]) == 6
    ids = [tag["id"] for tags in read.tags.values() for tag in tags if "id" in tag]
    assert len(ids) == len(set(ids))
    for svg in read.tags["svg"]:
        assert svg["role"] == "img"
        assert set((svg["aria-labelledby"] or "").split()) <= set(ids)
    assert len(read.tags["details"]) == 5  # the percentiles' values stand in the table above
    assert all("scope" in tag for tag in read.tags["th"])


def test_a_run_without_anything_has_a_page_too() -> None:
    empty = Summary(scenario="nothing", seed=0, started="2026-11-22T12:00:00Z", seconds=0.0)
    assert "No threshold was given" in Read(page(empty)).text


def test_a_long_run_is_drawn_with_its_peaks_and_does_not_become_a_long_page() -> None:
    long = run()
    row: list[float | None] = [1.0] * 50_000
    row[31_337] = 999.0
    long.series = Series(1.0, {"lag.node-1": row})
    text = page(long)
    assert len(text) < 100_000
    assert "greatest 999" in text
    drawn = joined(row, peaks=True)
    assert len(drawn) <= 240
    assert max(value or 0.0 for value in drawn) == 999.0
    assert ">999 ms<" in text  # in the table as well


@given(st.floats(1e-3, 1e12))
def test_axes_are_round_and_hold_what_is_drawn(greatest: float) -> None:
    for axis in (linear(greatest), logarithmic(greatest / 500, greatest), linear(greatest, "B"), timed(greatest)):
        assert axis.marks[-1] <= axis.greatest * 1.001
        assert 0.0 <= axis.part(greatest) <= 1.0
        assert len(axis.marks) <= 8
    assert linear(greatest).greatest >= greatest * 0.998


def test_axes_are_logarithmic_only_where_a_line_would_lie_on_the_floor() -> None:
    assert not fitting([1.0, 30.0]).log
    assert fitting([1.0, 60.0]).log
    assert not fitting([0.0, 1.0, 60.0]).log  # nought has no logarithm
    assert fitting([0.0, 1.0, 60.0], "ms").part(0.0) == 0.0  # but times that are too short to see lie at the foot
    assert fitting([0.0, 1.0, 60.0], "ms").log
    assert fitting([]).marks[0] == 0.0
    assert linear(137 * 2**20, "B").marks[-1] == 150 * 2**20


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.25, "ms", "0.25 ms"),
        (4900, "/s", "4.9k/s"),
        (100 * 2**20, "B", "100 MiB"),
        (1.5 * 2**30, "B/s", "1.5 GiB/s"),
        (71.92, "%", "71.9%"),
        (1095.0, "ms", "1.09 s"),
        (0, "", "0"),
        (1023 * 2**20, "B", "1,023 MiB"),
    ],
)
def test_numbers_are_short(value: float, unit: str, text: str) -> None:
    assert short(value, unit) == text


STATE = State("fanout", "hold", 61.0, 120.0, 2395, 4900.0, 0.7, 2.99, 0, 0, 0, 0)


def test_a_log_gets_a_line_at_every_phase_and_then_one_every_five_seconds() -> None:
    now, out = 0.0, io.StringIO()
    with Progress(lambda: now, console=Console(file=out, width=200)) as progress:
        while now <= 10.0:
            progress.show(STATE)
            now += 1.0
        progress.show(replace(STATE, phase="drain"))
    lines = out.getvalue().splitlines()
    assert len(lines) == 4  # at 0, 5 and 10 seconds, and when a phase began
    assert lines[0].startswith("61 s of 2:00  hold: 2,395 connections, 4.9k frames/s, p50 0.7 ms, p99 2.99 ms, 0 lost")


def test_a_terminal_shows_the_run_in_place_and_a_quiet_one_nothing() -> None:
    for quiet in (False, True):
        out = io.StringIO()
        console = Console(file=out, force_terminal=True, width=100)
        with Progress(lambda: 0.0, quiet=quiet, console=console) as progress:
            progress.show(STATE)
        assert ("2,395 from 1 processes" in out.getvalue()) == (not quiet)


def test_a_run_that_is_over_can_be_judged_and_drawn_once_more(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    over = run()
    over.totals, over.violations, over.thresholds = Totals(frames=1000), [], []
    summary.write(tmp_path / "s.json", over)
    words = [str(tmp_path / "s.json"), "--threshold", "delivery.p99 < 1ms", "--report", str(tmp_path / "r.html")]
    assert asyncio.run(command.run(command.arguments(words))) == 99
    assert "exceeded delivery.p99 < 1ms  (10.4" in capsys.readouterr().out
    assert "delivery.p99 &lt; 1ms" in (tmp_path / "r.html").read_text()
    assert asyncio.run(command.run(command.arguments([str(tmp_path / "absent.json")]))) == 64
