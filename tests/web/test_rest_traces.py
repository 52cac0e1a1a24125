"""Shows which calls are steps of a trace, whose, and that other nodes are told of it."""

from __future__ import annotations

from unittest.mock import patch
from uuid import uuid4

import pytest
from opentelemetry.trace import StatusCode

from relay.node import hops
from relay.store import Lease
from relay.traces import trace_of
from tests.monitoring.recorded import Recorded
from tests.web.site import Caller, Site

OUTSIDE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def recorded(site: Site) -> Recorded:
    """The site's traces, in memory."""
    found = Recorded()
    site.node.hub.traces = found.traces
    return found


async def test_a_call_is_a_step_of_the_trace_that_its_caller_names(
    site: Site, owner: Caller, recorded: Recorded
) -> None:
    async with site.client(owner.token, traceparent=OUTSIDE) as client:
        await client.get("/api/me")
    span = recorded.spans()["GET /api/me"]
    assert f"{span.context.trace_id:032x}" == trace_of(OUTSIDE)
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == OUTSIDE.split("-")[2]


async def test_ids_in_a_path_make_no_name_of_their_own(owner: Caller, recorded: Recorded) -> None:
    await owner.ask("GET", f"/api/machines/{uuid4()}")
    assert list(recorded.spans()) == ["GET /api/machines/{machine}"]
    assert recorded.spans()["GET /api/machines/{machine}"].status.status_code is StatusCode.UNSET  # a right answer


async def test_probes_are_no_steps_of_anything(site: Site, recorded: Recorded) -> None:
    async with site.client() as client:
        await client.get("/healthz")
        await client.get("/readyz")
    assert recorded.spans() == {}


async def test_a_call_that_fails_for_our_sake_fails_in_its_trace(site: Site, owner: Caller, recorded: Recorded) -> None:
    with patch.object(type(site.parts.registry.machines), "get", side_effect=RuntimeError("a mistake")):
        await owner.ask("DELETE", f"/api/machines/{uuid4()}")
    assert recorded.failures() == {"DELETE /api/machines/{machine}": "500"}


async def test_a_revocation_names_its_trace_to_the_nodes_that_it_asks(
    site: Site, owner: Caller, recorded: Recorded
) -> None:
    await site.parts.leases.renew(Lease(str(uuid4()), "http://other.test", site.clock()))
    machine = await owner.machine("mac")
    with patch.object(site.node.lanes, "send_hop", wraps=site.node.lanes.send_hop) as sent:
        await owner.ask("DELETE", f"/api/machines/{machine['id']}")
    (hop,) = [call.args[1] for call in sent.call_args_list if isinstance(call.args[1], hops.CloseHop)]
    span = recorded.spans()["DELETE /api/machines/{machine}"]
    assert hop.trace.split("-")[1:3] == [f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}"]


async def test_without_traces_a_revocation_carries_nothing_more_than_before(site: Site, owner: Caller) -> None:
    await site.parts.leases.renew(Lease(str(uuid4()), "http://other.test", site.clock()))
    machine = await owner.machine("mac")
    with patch.object(site.node.lanes, "send_hop", wraps=site.node.lanes.send_hop) as sent:
        await owner.ask("DELETE", f"/api/machines/{machine['id']}")
    (hop,) = [call.args[1] for call in sent.call_args_list if isinstance(call.args[1], hops.CloseHop)]
    assert b"trace" not in hops.encode(hop)
