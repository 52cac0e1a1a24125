"""Shows what an operator is told of the nodes of a cluster."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from relay.cli import run
from relay.store import Keys, Lease, Leases, connect
from relay.store.reports import NodeReport, Reports
from tests.support.valkey import Valkey
from tests.support.valkey import _valkey as _valkey
from tests.support.valkey import valkey as valkey

URL = "https://relay.example.com"


@pytest.fixture
def balanced(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three nodes behind one balancer, the last of which began a moment ago."""
    now = time.time_ns() // 1_000_000

    async def tell() -> None:
        redis, keys = connect(valkey.url), Keys("relay")
        leases, reports = Leases(redis, keys), Reports(redis, keys)
        await leases.renew(Lease("aaaaaaaa-1", URL, now - 3_720_000, agents=12, browsers=3))
        await leases.renew(Lease("bbbbbbbb-2", URL, now - 60_000, draining=True, agents=1))
        await leases.renew(Lease("cccccccc-3", URL, now))
        await reports.tell(NodeReport(id="aaaaaaaa-1", place="host-1:4711", version="0.1.0", started_ms=now))
        reasons = ("draining", "bus-deaf")
        await reports.tell(
            NodeReport(id="bbbbbbbb-2", place="host-2:815", version="0.2.0", started_ms=now, reasons=reasons)
        )
        await redis.aclose()

    asyncio.run(tell())
    monkeypatch.setenv("RELAY_REDIS_URL", valkey.url)


@pytest.mark.usefixtures("balanced")
def test_nodes_behind_one_address_are_told_apart_by_where_they_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["node", "list"]) == 0
    lines = [line.split("  ") for line in capsys.readouterr().out.splitlines()]
    said = [[word.strip() for word in line if word.strip()] for line in lines]
    assert said[0] == ["ID", "PLACE", "URL", "AGENTS", "BROWSERS", "STATE", "VERSION", "UP"]
    assert said[1] == ["aaaaaaaa", "host-1:4711", URL, "12", "3", "ready", "0.1.0", "1h02m"]
    assert said[2][:-1] == ["bbbbbbbb", "host-2:815", URL, "1", "0", "draining, bus-deaf", "0.2.0"]
    assert said[3][:-1] == ["cccccccc", "—", URL, "0", "0", "ready", "—"]


@pytest.mark.usefixtures("balanced")
def test_programs_are_told_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["node", "list", "--json"]) == 0
    first, second, third = json.loads(capsys.readouterr().out)["nodes"]
    assert (first["place"], first["version"], first["state"], first["reasons"]) == ("host-1:4711", "0.1.0", "ready", [])
    assert (second["state"], second["reasons"]) == ("draining", ["draining", "bus-deaf"])
    assert (third["place"], third["version"], third["state"]) == (None, None, "ready")
