"""Shows what a load test counts and decides by itself: arrivals, streams, payloads, sizes, and whom it may load."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from random import Random

import pytest

from loadtests.catalogue import COMMANDS, SCENARIOS, about, runnable
from loadtests.engine import payload
from loadtests.engine.account import Account, in_total
from loadtests.engine.arrivals import arrivals, pace
from loadtests.engine.crowd import Second
from loadtests.engine.ledger import Stream, Wrong
from loadtests.engine.tally import Tally
from loadtests.engine.watch import _grown, _p99


def counted(numbers: list[int]) -> tuple[int, int, int]:
    """What was lost, repeated and swapped of a stream in which these numbers came."""
    wrong = Wrong()
    stream = Stream(wrong)
    for number in numbers:
        stream.take(number)
    return wrong.lost, wrong.duplicated, wrong.reordered


def test_a_stream_that_is_whole_has_nothing_wrong() -> None:
    assert counted([1, 2, 3, 4]) == (0, 0, 0)


def test_what_is_missing_is_lost_and_what_comes_late_after_all_is_swapped() -> None:
    assert counted([1, 3]) == (1, 0, 0)
    assert counted([1, 3, 2]) == (0, 0, 1)
    assert counted([1, 4, 2]) == (1, 0, 1)
    assert counted([1, 4, 2, 3]) == (0, 0, 2)


def test_what_comes_twice_is_repeated_however_late() -> None:
    assert counted([1, 1, 2]) == (0, 1, 0)
    assert counted([1, 3, 2, 2]) == (0, 1, 1)


def test_a_stream_that_goes_on_somewhere_else_lost_what_is_in_between_unless_a_gap_was_declared() -> None:
    wrong = Wrong()
    stream = Stream(wrong)
    stream.take(1)
    stream.continues(3)
    assert wrong.lost == 1
    stream.begins(9)
    assert stream.take(9)
    assert wrong == Wrong(lost=1)


def test_a_replay_that_ends_before_its_head_left_something_out() -> None:
    wrong = Wrong()
    stream = Stream(wrong)
    stream.take(1)
    stream.missing(3)
    assert wrong.lost == 2
    assert stream.take(4)


def test_a_payload_says_when_it_was_due_and_whether_it_arrived_as_it_was_sent() -> None:
    sent = payload.write(payload.TYPED, 12.5, 100)
    assert len(sent) == 100
    assert payload.read(sent) == (payload.TYPED, 12.5)
    assert payload.read(payload.again(sent, payload.ECHO)) == (payload.ECHO, 12.5)
    assert payload.read(sent[:-1] + b"#") is None
    assert payload.read(sent[:5]) is None


def test_the_same_seed_gives_the_same_arrivals_and_their_mean_is_the_rate() -> None:
    first, again, other = (list(itertools.islice(arrivals(50.0, 0.0, Random(seed)), 2_000)) for seed in ("a", "a", "b"))
    assert first == again != other
    assert first[-1] == pytest.approx(40.0, rel=0.1)
    assert list(itertools.islice(arrivals(4.0, 1.0, Random(1), "even"), 3)) == [1.0, 1.25, 1.5]


async def test_operations_are_begun_however_late_and_know_when_they_were_due() -> None:
    begin = time.monotonic() - 1.0  # all of them are overdue: a server was paused, or this very process
    dues = [begin + number / 10 for number in range(10)]
    begun: list[float] = []
    assert await pace(iter(dues), begin + 1.0, begun.append) == 10
    assert begun == dues


def test_the_account_adds_processes_up_and_takes_what_each_told_last() -> None:
    one, other = Tally(), Tally()
    one.frames, other.frames = 3, 4
    one.took["echo"] += [0.001, 0.002]
    other.took["echo"] += [0.5]
    other.wrong.lost = 1
    other.closes["agent"]["4200"] += 1
    connected = {"agent": 1, "browser": 2, "attached": 2}
    seconds = {0: {}, 1: {0: Second(one.second(), one.counts(), connected)}}
    one.frames = 5
    seconds[2] = {
        0: Second(one.second(), one.counts(), connected),
        1: Second(other.second(), other.counts(), connected),
    }
    account = Account(seconds)
    totals = in_total(account.totals())
    assert (totals.frames, totals.lost) == (9, 1)
    assert account.closes() == {"agent": {"4200": 1}}
    echo = account.latencies()["echo"]
    assert echo.count == 3
    assert echo.max == pytest.approx(500, rel=0.01)
    rows = account.series({}).rows
    assert rows["frames_per_second"] == [0, 3, 6]
    assert rows["connections"] == [0, 3, 6]
    assert account.busiest_second("closes.") == 1


def test_lag_is_that_of_what_was_counted_since_also_after_a_node_began_anew() -> None:
    before = {0.01: 100.0, 0.1: 100.0, float("inf"): 100.0}
    after = {0.01: 150.0, 0.1: 200.0, float("inf"): 200.0}
    assert _p99(_grown(before, after)) == 0.1
    assert _p99(_grown(after, before)) == 0.01
    assert _p99(_grown(before, before)) is None
    assert _p99({0.01: 1.0, float("inf"): 9.0}) == 0.01


@pytest.mark.parametrize(
    "words",
    [["--seconds", "0"], ["--scale", "-1"], ["--generators", "0"], ["--watchers", "-1"], ["--rate", "nan"]],
)
def test_sizes_that_cannot_be_are_refused_before_anything_is_loaded(words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        runnable("fanout").arguments(words)
    assert ended.value.code == 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--url", "https://relay.example.com"], "https://relay.example.com is not on this machine: say --i-own-this"),
        (["--url", "http://127.0.0.1:9"], "--url needs --token-file, or a token in RELAY_TOKEN"),
        (["--url", "http://127.0.0.1:9", "--token-file", "/nowhere"], "/nowhere: there is no such file"),
        (["--url", "ftp://127.0.0.1"], "'ftp://127.0.0.1' is not the address of a relay"),
        (["--threshold", "delivery.p99 below 3"], "threshold"),
    ],
)
async def test_what_cannot_be_done_ends_with_64_and_a_sentence(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RELAY_TOKEN", raising=False)
    command = runnable("production")
    with pytest.raises(SystemExit) as ended:
        await command.run(command.arguments(words))
    assert ended.value.code == 64
    said = capsys.readouterr().err
    assert sentence in said
    assert said.startswith("relay: ")


def test_every_scenario_says_what_it_is_for_and_scales(tmp_path: Path) -> None:
    for name in COMMANDS:
        assert len(about(name)) > 20, name
    for name in SCENARIOS:
        given = runnable(name).arguments(["--scale", "0.1", "--summary", str(tmp_path / "summary.json")])
        assert given.scale == 0.1
