"""Shows what an operator reads in `relay top`."""

from __future__ import annotations

import msgspec
import pytest
from rich.console import Console

from relay.cli.top import fields, picture, short
from relay.store import Lease
from relay.store.overview import NodeLine, Overview
from relay.store.reports import NodeReport, SweeperReport

NOW = 1_800_000_000.0
STARTED_MS = int(NOW * 1000) - 3_700_000
BOOT = "5c0f3a52-77c1-4b1e-8f0e-2f7ac7f0a001"
WIDTH = 160


def lease(boot: str = BOOT, *, draining: bool = False) -> Lease:
    return Lease(
        boot=boot, url="http://node-1:8000", started_ms=STARTED_MS, draining=draining, agents=7_480, browsers=299
    )


def report(boot: str = BOOT, reasons: tuple[str, ...] = (), bus: float | None = 0.0007) -> NodeReport:
    return NodeReport(
        id=boot,
        place="host-1:4711",
        version="0.1.0",
        started_ms=STARTED_MS,
        cpu=0.42,
        memory_bytes=212_000_000,
        reasons=reasons,
        agents=7_480,
        browsers=299,
        frames_per_second=12_345,
        bytes_per_second=1_900_000,
        lag_seconds=0.0031,
        bus_seconds=bus,
        drift=3,
    )


def sweeper(age_seconds: float = 1.0, *, behind: bool = False) -> SweeperReport:
    return SweeperReport(
        id="a5b1",
        place="host:99",
        version="0.1.0",
        started_ms=STARTED_MS,
        age_seconds=age_seconds,
        behind=behind,
        told_per_second=2.5,
    )


def shown(nodes: list[NodeLine], sweepers: list[SweeperReport]) -> str:
    """The screen as text."""
    console = Console(width=WIDTH, record=True, file=None, quiet=False, force_terminal=False)
    with console.capture() as captured:
        console.print(picture(Overview(nodes, sweepers), NOW))
    return captured.get()


def test_a_healthy_cluster_is_one_line_a_process() -> None:
    screen = shown([NodeLine(lease(), report())], [sweeper()])
    assert "1 of 1 nodes ready   machines 7480   people 299   12k frames/s   1.9MB/s   presence drift 3" in screen
    node = next(line for line in screen.splitlines() if line.startswith("5c0f3a52"))
    assert node.split() == [
        "5c0f3a52", "host-1:4711", "ready", "7480", "299", "12k", "1.9M", "3.1ms", "0.7ms", "42%", "212M",
        "0.1.0", "1h01m",
    ]  # fmt: skip
    assert "sweeps" in screen


def test_trouble_is_said_in_words() -> None:
    nodes = [
        NodeLine(lease(), report(reasons=("bus-deaf", "redis-lost"), bus=None)),
        NodeLine(lease("9", draining=True), None),
    ]
    screen = shown(nodes, [sweeper(90.0), sweeper(behind=True)])
    assert "0 of 2 nodes ready" in screen
    assert "bus-deaf redis-lost" in screen
    assert "deaf " in screen
    assert "draining" in screen  # a node of a version that makes no reports
    assert "waits" in screen
    assert "behind" in screen


def test_what_a_process_says_of_itself_stands_there_as_it_is() -> None:
    """A URL of IPv6 has brackets, which are no markup here; and nothing steers the terminal."""
    odd = msgspec.structs.replace(lease("[/x]"), url="http://[fe80::1]:8000")
    own = msgspec.structs.replace(report(), place="host[bold]:\x1b[2J", version="[1]")
    swept = msgspec.structs.replace(sweeper(), id="[red]", place="[/]:1", version="[2]")
    screen = shown([NodeLine(odd, None), NodeLine(lease(), own)], [swept])
    for text in ("[/x]", "http://[fe80::1]:8000", "host[bold]:\\x1b[2J", "[1]", "[red]", "[/]:1", "[2]"):
        assert f"{text} " in screen
    assert "\x1b" not in screen


def test_an_empty_cluster_says_what_is_missing() -> None:
    screen = shown([], [])
    assert "no node lives" in screen
    assert "no sweeper runs" in screen


def test_programs_get_numbers_and_not_words() -> None:
    found = fields(Overview([NodeLine(lease(), report(reasons=("draining",)))], [sweeper()]))
    (node,) = found["nodes"]
    assert (node["id"], node["ready"], node["reasons"], node["framesPerSecond"]) == (BOOT, False, ["draining"], 12_345)
    (one,) = found["sweepers"]
    assert (one["place"], one["toldPerSecond"], "type" in one) == ("host:99", 2.5, False)


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (0.4, "0.4"), (9.5, "9.5"), (940, "940"), (1_234, "1.2k"), (38_400_000, "38M"), (5e9, "5.0G")],
)
def test_numbers_are_short(number: float, text: str) -> None:
    assert short(number) == text
