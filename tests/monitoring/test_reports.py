"""Shows what processes tell whoever watches them, and for how long it is believed."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from relay.errors import Unavailable
from relay.node.hub import Hub
from relay.node.meters import Meters
from relay.node.reporting import Reporting, Self, Watched
from relay.node.samples import Samples
from relay.node.traffic import Traffic
from relay.rules.presence import Info
from relay.store import Announcement, Keys, Lease, Leases, Presence, Revocations
from relay.store.overview import Overlook
from relay.store.places import Places
from relay.store.reports import REPORT_MS, NodeReport, Reports, SweeperReport
from workers.meters import SweepMeters
from workers.reporting import Reporting as SweeperReporting

WORKSPACE = "b3a7c1de-0000-4000-8000-000000000001"


def node(boot: str, **more: Any) -> NodeReport:
    """A node's report."""
    return NodeReport(id=boot, place=f"http://{boot}:8000", version="0.1.0", started_ms=1_000, **more)


async def test_who_watches_sees_what_each_process_said_last(standing_redis: Redis, keys: Keys) -> None:
    reports = Reports(standing_redis, keys)
    await reports.tell(node("a", agents=1))
    await reports.tell(node("a", agents=2))
    await reports.tell(SweeperReport(id="s", place="host:1", version="0.1.0", started_ms=2_000, behind=True))
    heard = await reports.heard()
    assert [(type(report), report.id) for report in heard] == [(NodeReport, "a"), (SweeperReport, "s")]
    assert isinstance(heard[0], NodeReport)
    assert heard[0].agents == 2


async def test_a_process_that_is_silent_for_long_is_not_shown_and_then_forgotten(
    standing_redis: Redis, keys: Keys
) -> None:
    reports = Reports(standing_redis, keys)
    await reports.tell(node("gone"))
    times, said = keys.reports
    await standing_redis.zincrby(times, -REPORT_MS - 1_000, "gone")
    assert await reports.heard() == []
    await standing_redis.zincrby(times, -4 * REPORT_MS, "gone")
    await reports.tell(node("here"))
    assert await standing_redis.hkeys(said) == ["here"]
    assert [report.id for report in await reports.heard()] == ["here"]


async def test_what_a_newer_version_says_in_other_words_hides_nobody_else(standing_redis: Redis, keys: Keys) -> None:
    reports = Reports(standing_redis, keys)
    await reports.tell(node("a"))
    times, said = keys.reports
    await standing_redis.zadd(times, {"newer": 9e15})
    await standing_redis.hset(said, "newer", '{"type":"gateway","id":"newer"}')
    assert [report.id for report in await reports.heard()] == ["a"]


async def test_leases_say_who_lives_and_reports_how(standing_redis: Redis, keys: Keys) -> None:
    leases = Leases(standing_redis, keys)
    await leases.renew(Lease(boot="a", url="http://a", started_ms=1, agents=3))
    await leases.renew(Lease(boot="old", url="http://old", started_ms=2, draining=True))
    await Reports(standing_redis, keys).tell(node("a", reasons=("bus-deaf",)))
    await Reports(standing_redis, keys).tell(node("no-lease"))
    seen = await Overlook(standing_redis, keys).look()
    assert [(line.lease.boot, line.reasons) for line in seen.nodes] == [("a", ["bus-deaf"]), ("old", ["draining"])]


class StillBus:
    """A bus whose probes take as long as the test says."""

    deaf = False
    round_trip_seconds: float | None = 0.002


def reporting(reports: Any, traffic: Traffic, bus: StillBus) -> Reporting:
    """A node's reporter."""
    samples = Samples(Meters(CollectorRegistry()), cast(Any, bus))
    samples.lag(0.25)
    samples.deliver()
    watched = Watched(Hub(), traffic, samples, cast(Any, bus), lambda: ["draining"], lambda: 2)
    return Reporting(Self("a", 5), watched, reports)


def test_rates_are_those_since_the_last_report() -> None:
    traffic, bus = Traffic(), StillBus()
    told = reporting(None, traffic, bus)
    told.report(100.0)
    traffic.browser_out, traffic.browser_out_bytes, traffic.agent_out = 900, 5_000, 100
    report = told.report(110.0)
    assert (report.frames_per_second, report.bytes_per_second) == (100.0, 500.0)
    assert (report.reasons, report.drift, report.lag_seconds, report.bus_seconds) == (("draining",), 2, 0.25, 0.002)
    assert report.memory_bytes > 1_000_000
    bus.deaf = True
    again = told.report(120.0)
    assert (again.frames_per_second, again.bus_seconds) == (0.0, None)


async def test_a_redis_that_takes_no_report_is_no_trouble() -> None:
    asked = asyncio.Event()

    class Deaf:
        async def tell(self, report: object) -> None:
            asked.set()
            raise Unavailable("away")

    sweeper = SweeperReporting(SweepMeters(CollectorRegistry(), lambda: 0.0), cast(Any, Deaf()))
    running = asyncio.create_task(sweeper.run())
    await asked.wait()
    await asyncio.sleep(0)
    assert not running.done()
    running.cancel()


async def test_a_sweeper_says_how_many_it_told_of_each_second() -> None:
    meters = SweepMeters(CollectorRegistry(), lambda: 7.0)
    sweeper = SweeperReporting(meters, cast(Any, None))
    start = sweeper._at
    meters.told(offline=20, online=5, forgotten=0)
    report = sweeper.report(start + 5)
    assert (report.told_per_second, report.behind, report.age_seconds) == (5.0, False, 0.0)


async def test_pages_of_places_name_everybody_on_a_node_and_nobody_else(standing_redis: Redis, keys: Keys) -> None:
    presence, places = Presence(standing_redis, keys), Places(standing_redis, keys)
    await Revocations(standing_redis, keys).load(keys.shard(WORKSPACE), [], 0)
    for machine, boot in (("here", "a"), ("there", "b"), ("here-too", "a")):
        await presence.announce(announcement(machine, boot))
    found: set[tuple[str, str]] = set()
    for _ in range(2 * len(keys.shards)):  # each shard once at least
        found.update(await places.page("a"))
    assert found == {(WORKSPACE, "here"), (WORKSPACE, "here-too")}


def announcement(machine: str, boot: str) -> Announcement:
    """A machine's hello on a node."""
    return Announcement(
        workspace=WORKSPACE,
        machine=machine,
        token_version=1,
        connection="c",
        node=boot,
        known_generation=0,
        info=Info(),
        revocations_upto=0,
    )
