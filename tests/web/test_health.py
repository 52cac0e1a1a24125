"""Shows probes and metrics."""

from __future__ import annotations

from dataclasses import replace

import httpx2
from prometheus_client import CollectorRegistry

from relay.web.measures import create_metrics
from relay.web.site import create_web
from tests.web.site import URL, Caller, Site


async def test_a_node_that_runs_is_alive_and_ready(site: Site) -> None:
    async with site.client() as client:
        assert (await client.get("/healthz")).json() == {"ok": True}
        assert (await client.get("/readyz")).json() == {"ready": True, "reasons": [], "impaired": []}


async def test_a_node_in_trouble_says_why_and_stays_alive(site: Site) -> None:
    parts = replace(site.parts, readiness=lambda: ["draining", "bus-deaf"], metrics=CollectorRegistry())
    transport = httpx2.ASGITransport(create_web(parts))
    async with httpx2.AsyncClient(transport=transport, base_url=URL) as client:
        unready = await client.get("/readyz")
        alive = await client.get("/healthz")
    assert unready.status_code == 503
    assert unready.json() == {"ready": False, "reasons": ["draining", "bus-deaf"], "impaired": []}
    assert alive.status_code == 200


async def test_metrics_count_answers_by_call_and_status_and_never_by_machine(site: Site, owner: Caller) -> None:
    machine = await owner.machine("mac")
    await owner.get(f"/api/machines/{machine['id']}")
    await owner.ask("GET", "/api/machines/nothing")
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(create_metrics(site.parts.metrics)), base_url="http://10.0.0.1:9100"
    ) as client:
        response = await client.get("/metrics")
        newer = await client.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
        elsewhere = await client.get("/api/machines")
    assert response.headers["content-type"].startswith("text/plain")
    assert 'relay_rest_answers_total{call="get_machine",status="200"} 1.0' in response.text
    assert 'relay_rest_answers_total{call="get_machine",status="404"} 1.0' in response.text
    assert 'relay_rest_seconds_count{call="get_machine"} 2.0' in response.text
    assert machine["id"] not in response.text
    assert newer.headers["content-type"].startswith("application/openmetrics-text")
    assert newer.text.count("# EOF\n") == 1
    assert newer.text.endswith("# EOF\n")
    assert elsewhere.status_code == 404
