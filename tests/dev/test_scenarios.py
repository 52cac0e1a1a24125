"""Shows that every scenario runs, small, against a cluster that runs already, and notices what it is there for."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import pytest

import loadtests.engine.run
from loadtests.catalogue import runnable
from loadtests.engine.run import Run, Traffic
from loadtests.report import summary
from loadtests.report.summary import Summary
from relay.rules.frames import Kind
from tests.dev.meddler import Meddler, meddling
from tests.support.cluster import Cluster, Team

PAUSE_SECONDS = 1.0
FEW = ("--generators", "1", "--quiet")


class Relay(NamedTuple):
    """A cluster that runs already, and somebody who may load one workspace of it."""

    cluster: Cluster
    team: Team
    token: Path
    folder: Path

    async def loaded(self, scenario: str, *words: str, url: str = "") -> tuple[int, Summary]:
        """Run a scenario against it; the exit code, and the summary that was written."""
        file = self.folder / "summary.json"
        command = runnable(scenario)
        where = ("--url", url or ",".join(self.cluster.urls), "--token-file", str(self.token))
        given = command.arguments([*where, *FEW, "--summary", str(file), *words])
        return await command.run(given), summary.read(file)


def during_traffic(
    monkeypatch: pytest.MonkeyPatch, deed: Callable[[], Awaitable[None]], change: Callable[[Traffic], Traffic]
) -> None:
    """Do something when traffic begins, however long a busy machine takes to get there, and change what traffic is."""
    carry = Run.carry

    async def carried(run: Run, traffic: Traffic, seconds: float) -> None:
        await asyncio.gather(carry(run, change(traffic), seconds), deed())

    monkeypatch.setattr(Run, "carry", carried)


@pytest.fixture
def relay(shared_cluster: Cluster, tmp_path: Path) -> Relay:
    """A fresh workspace, in which a member loads."""
    team = shared_cluster.team()
    token = tmp_path / "token"
    token.write_text(team.person("load", "member").token + "\n")
    return Relay(shared_cluster, team, token, tmp_path)


async def test_a_fan_out_delivers_every_frame_to_everybody_and_draws_a_page(relay: Relay) -> None:
    page = relay.folder / "report.html"
    size = ("--sessions", "2", "--watchers", "3", "--rate", "40", "--seconds", "0.5")
    code, found = await relay.loaded("fanout", *size, "--report", str(page), "--threshold", "delivery.p99 < 60s")
    assert (code, found.verdict) == (0, "held")
    assert found.totals.frames == found.latencies["delivery"].count > 0
    assert found.totals.frames % 3 == 0
    assert found.totals.connects >= 2 + 2 * 3
    assert [phase.name for phase in found.phases] == ["ramp", "hold", "settle", "drain"]
    assert sum(value or 0 for value in found.series.rows["frames_per_second"]) == found.totals.frames
    assert "delivery" in page.read_text()


async def test_terminals_carry_as_much_back_as_is_typed(relay: Relay) -> None:
    size = ("--terminals", "2", "--each", "40000", "--seconds", "0.5")
    code, found = await relay.loaded("terminals", *size)
    assert code in (0, 1)  # a second at random may bring less than nine tenths of what was asked for, and nothing else
    assert found.latencies["echo"].count == found.latencies["input"].count > 0
    assert found.totals.lost == found.totals.duplicated == found.totals.reordered == 0
    assert all("throughput" in violation for violation in found.violations)


async def test_machines_come_beat_and_go(relay: Relay) -> None:
    code, found = await relay.loaded(
        "fleet", "--machines", "10", "--beat", "0.2", "--followers", "1", "--seconds", "0.5"
    )
    assert code == 0
    assert found.totals.connects >= 10 + 1
    assert found.latencies["beat"].count >= 10
    left = [machine for machine in relay.team.machines() if machine["name"].startswith("load-")]
    assert not left  # on a relay that is not its own, a load test leaves no machine behind


async def test_visitors_come_and_go_and_those_who_stay_lose_nothing(relay: Relay) -> None:
    size = ("--machines", "1", "--visitors", "6", "--passing", "6", "--visits", "4", "--stay", "0.3", "--seconds", "1")
    code, found = await relay.loaded("churn", *size)
    assert code == 0
    assert found.details["visits"]["browsers"] > 0
    assert found.details["visits"]["machines"] > 0
    assert found.totals.connects > 2


async def test_those_who_sleep_are_left_behind_and_catch_up_and_nobody_beside_them_waits(relay: Relay) -> None:
    size = ("--sessions", "1", "--watchers", "2", "--sleepers", "2", "--rate", "50", "--bytes", "16384")
    code, found = await relay.loaded("slow", *size, "--seconds", "1.5")
    assert code == 0
    assert found.details["operations"]["detached: behind"] >= 2
    assert found.latencies["delivery"].count > 0  # of those two who read


async def test_a_soak_has_sessions_in_use_and_visitors(relay: Relay) -> None:
    code, found = await relay.loaded("soak", "--machines", "2", "--visitors", "2", "--stay", "0.3", "--seconds", "1")
    assert code == 0
    assert found.latencies["delivery"].count > 0


async def test_a_relay_in_production_in_small_has_its_sockets_and_beats(relay: Relay) -> None:
    code, found = await relay.loaded("production", "--scale", "0.001", "--session-beats", "100", "--seconds", "1")
    assert code == 0
    assert found.totals.connects >= 7 + 16 + 1
    assert found.latencies["beat"].count > 0


async def test_all_who_lose_a_node_at_once_are_back_with_everything(relay: Relay) -> None:
    size = ("--machines", "6", "--terminals", "2", "--followers", "1", "--seconds", "0.5", "--rate", "20")
    code, found = await relay.loaded("storm", *size)
    assert code == 0, found.violations
    assert found.details["backSeconds"] is not None
    assert sum(found.closes.get("agent", {}).values()) + sum(found.closes.get("browser", {}).values()) > 0
    assert found.details["lostSockets"] > 0


async def test_a_node_that_is_restarted_under_load_loses_nothing_and_nobody_is_shown_offline(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = relay.cluster
    node = cluster.node_at(cluster.urls[1])

    async def restart() -> None:
        await asyncio.to_thread(node.stop)
        node.start_again()

    during_traffic(monkeypatch, restart, lambda traffic: traffic)
    try:
        size = ("--machines", "4", "--watchers", "1", "--followers", "1", "--rate", "20", "--seconds", "2")
        code, found = await relay.loaded("deploy", *size)
    finally:
        await asyncio.to_thread(cluster.wait_ready, cluster.urls[1])
    assert code == 0, found.violations
    assert found.totals.frames > 0
    assert found.latencies["resume"].count > 0


async def test_every_frame_of_output_that_is_lost_repeated_swapped_or_changed_is_counted(relay: Relay) -> None:
    meddler = Meddler({5: "lose", 7: "repeat", 9: "swap", 12: "change"}, Kind.OUTPUT)
    async with meddling(relay.cluster.urls[0], meddler) as url:
        size = ("--sessions", "1", "--watchers", "1", "--rate", "60", "--seconds", "0.7")
        code, found = await relay.loaded("fanout", *size, url=url)
    assert not meddler.left
    assert (code, found.verdict) == (1, "void")
    assert (found.totals.lost, found.totals.duplicated, found.totals.reordered) == (1, 1, 1)
    assert found.violations == ["1 frames arrived changed"]


async def test_every_input_that_is_lost_repeated_or_swapped_is_counted(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loadtests.engine.run, "SETTLE_SECONDS", 0.3)  # what waits behind a lost input never comes
    meddler = Meddler({5: "repeat", 12: "swap", 20: "lose"}, Kind.INPUT)
    async with meddling(relay.cluster.urls[0], meddler) as url:
        size = ("--terminals", "1", "--each", "6000", "--bytes", "100", "--seconds", "0.7")
        code, found = await relay.loaded("terminals", *size, url=url)
    assert not meddler.left
    assert (code, found.verdict) == (1, "void")
    assert found.totals.duplicated == 1
    assert found.totals.reordered == 1
    assert found.totals.lost > 1  # the machine takes nothing behind a hole; a real browser would have typed it again
    assert any("had not been applied" in violation for violation in found.violations)


async def test_a_threshold_that_is_exceeded_ends_with_99(relay: Relay) -> None:
    size = ("--machines", "1", "--followers", "1", "--seconds", "0.3")
    code, found = await relay.loaded("fleet", *size, "--threshold", "hello.max < 0.001ms")
    assert (code, found.verdict) == (99, "exceeded")


async def test_a_node_that_pauses_for_a_second_shows_although_only_one_question_was_open(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = relay.cluster
    node = cluster.node_at(cluster.urls[0])

    async def pause() -> None:
        node.freeze()
        try:
            await asyncio.sleep(PAUSE_SECONDS)
        finally:
            node.thaw()

    during_traffic(monkeypatch, pause, lambda traffic: traffic._replace(ask=50.0))
    size = ("--sessions", "1", "--watchers", "1", "--rate", "1", "--seconds", str(2 * PAUSE_SECONDS))
    _, found = await relay.loaded("fanout", *size, url=cluster.urls[0])
    ping = found.latencies["ping"]
    assert ping.corrected
    assert ping.count > 50
    assert ping.p90 is not None
    assert ping.p90 > PAUSE_SECONDS * 500  # of all who waited; only one was asked late


async def test_a_load_whose_process_dies_is_no_run_at_all(
    relay: Relay, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def carried(run: Run, traffic: Traffic, seconds: float) -> None:
        os.kill(run.crowd.pids[0], signal.SIGKILL)

    monkeypatch.setattr(Run, "carry", carried)
    command = runnable("fanout")
    where = ("--url", ",".join(relay.cluster.urls), "--token-file", str(relay.token))
    assert await command.run(command.arguments([*where, *FEW, "--sessions", "1", "--watchers", "1"])) == 75
    assert capsys.readouterr().err == "relay: the load was not carried to its end: a process of the load has ended\n"


@pytest.mark.xdist_group("dev")
async def test_a_cluster_of_its_own_is_watched_and_loses_a_node(tmp_path: Path) -> None:
    file = tmp_path / "summary.json"
    size = ("--nodes", "2", "--machines", "6", "--terminals", "2", "--followers", "1", "--seconds", "1")
    command = runnable("storm")
    code = await command.run(command.arguments([*FEW, "--summary", str(file), *size]))
    found = summary.read(file)
    assert code == 0, found.violations
    watched = {server.name: server for server in found.servers}
    assert {"node-1", "node-2", "engine", "sweeper"} <= watched.keys()
    assert all(server.cpu_seconds is not None and server.rss_max_bytes for server in watched.values())
    assert watched["node-1"].loop_lag_p99_ms is not None
    assert found.generators[0].cpu_seconds
    assert found.target.own
    assert found.details["backSeconds"] is not None
