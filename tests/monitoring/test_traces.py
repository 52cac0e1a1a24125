"""Follows one request from a browser's node through another one to the machine and back."""

from __future__ import annotations

import asyncio
import sys
from threading import Event
from typing import cast
from uuid import uuid4

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from structlog.testing import capture_logs

from relay.agent.startup import traces_wanted
from relay.app import Node as App
from relay.cli.place import traceparent
from relay.errors import Misconfigured, RelayError
from relay.node import hops
from relay.node.agent import Agent
from relay.observing import followed
from relay.rules.agent_messages import Answer
from relay.rules.messages import Operator
from relay.traces import RecordedTraces, Traces, open_traces, trace_of
from tests.monitoring.recorded import Recorded
from tests.node.two_nodes import Between, Node, peer

SESSION = str(uuid4())
JANE = Operator(user="Jane", client="laptop")
OUTSIDE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
RECEIVER = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}


async def ask(node: Node, home: Node, agent: Agent, answer: Answer | None) -> dict[str, object]:
    """Ask a machine for its sessions through a node; it answers so, or its connection is lost."""
    asked = asyncio.create_task(node.router.ask(agent.workspace, agent.machine, "sessions", JANE, {}))
    await peer(agent).until(lambda: peer(agent).heard("request"))
    (request,) = peer(agent).heard("request")
    if answer is None:
        home.router.agent_left(agent)
    else:
        answer.ref = request["ref"]
        home.router.requests.answered(agent, answer)
    return await asked


async def test_a_request_across_two_nodes_is_one_trace() -> None:
    between = Between()
    recorded = Recorded(between)
    agent = between.far.agent(SESSION)
    assert await ask(between.near, between.far, agent, Answer(ref=0, result={"sessions": []})) == {"sessions": []}
    spans = recorded.spans()
    first, second = spans["request sessions"], spans["machine sessions"]
    assert first.context.trace_id == second.context.trace_id
    assert first.parent is None
    assert second.parent is not None
    assert second.parent.span_id == first.context.span_id
    assert second.attributes is not None
    assert second.attributes["relay.machine"] == agent.machine
    assert second.attributes["relay.connection"] == "connection"
    assert first.status.is_ok
    assert second.status.is_ok


async def test_a_machine_that_is_lost_meanwhile_fails_both_steps() -> None:
    between = Between()
    recorded = Recorded(between)
    agent = between.far.agent(SESSION)
    with pytest.raises(RelayError, match="lost before it answered"):
        await ask(between.near, between.far, agent, None)
    assert [span.attributes["error.type"] for span in recorded.spans().values() if span.attributes] == [
        "unavailable",
        "unavailable",
    ]


async def test_a_machine_on_the_same_node_is_a_step_of_its_own() -> None:
    between = Between()
    recorded = Recorded(between)
    agent = between.far.agent(SESSION)
    await ask(between.far, between.far, agent, Answer(ref=0, result={}))
    spans = recorded.spans()
    parent = spans["machine sessions"].parent
    assert parent is not None
    assert parent.span_id == spans["request sessions"].context.span_id


async def test_without_traces_the_logs_of_both_nodes_share_an_id_all_the_same() -> None:
    between = Between()
    agent = between.far.agent(SESSION)
    with capture_logs() as lines:
        await ask(between.near, between.far, agent, Answer(ref=0, result={}))
    asked = next(line for line in lines if line["event"] == "a machine is asked")
    done = next(line for line in lines if line["event"] == "a request is answered")
    assert len(done["trace"]) == 32
    assert done["trace"] == asked["trace"]
    assert (asked["connection"], asked["machine"], asked["workspace"]) == ("connection", agent.machine, "workspace")
    assert (done["outcome"], done["operation"]) == ("done", "sessions")


async def test_a_node_that_tells_no_trace_is_answered_as_ever() -> None:
    between = Between()
    agent = between.far.agent(SESSION)
    hop = hops.RequestHop(call=1, machine=agent.machine, operation="sessions", operator=JANE, body={})
    assert b"trace" not in hops.encode(hop)
    between.far.router.requests.asked(between.near.boot, hop)
    assert peer(agent).heard("request")


@pytest.mark.parametrize(
    "carried",
    ["", "00", "00-short-0123456789abcdef-00", f"00-{'z' * 32}-0123456789abcdef-00", f"00-{'a' * 32}-short-01"],
)
def test_what_is_no_trace_begins_a_new_one(carried: str) -> None:
    assert trace_of(carried) == ""
    assert len(Traces().begin("x", carried).trace) == 32


def test_whoever_records_nothing_passes_on_what_was_carried_for_those_behind_who_do() -> None:
    traces = Traces()
    first = traces.begin("a")
    second = traces.begin("b", first.carried)
    assert trace_of(first.carried) == first.trace != traces.begin("a").trace
    assert second.carried == first.carried
    second.end("unavailable")
    traces.close()


@pytest.mark.parametrize(
    "environ",
    [{}, {**RECEIVER, "OTEL_SDK_DISABLED": "true"}, {**RECEIVER, "OTEL_TRACES_EXPORTER": "none"}],
)
def test_traces_are_off_unless_a_receiver_is_named(environ: dict[str, str]) -> None:
    assert type(open_traces(environ)) is Traces


def test_a_receiver_turns_traces_on() -> None:
    traces = open_traces(RECEIVER)
    assert isinstance(traces, RecordedTraces)
    traces.close()


def test_traces_that_are_asked_for_and_not_installed_are_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(Misconfigured, match=r"relay-cluster\[traces\]"):
        open_traces(RECEIVER)


def test_a_step_that_ended_twice_is_told_once() -> None:
    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    span = RecordedTraces(provider).begin("machine open", operation="open")
    span.end("timed-out")
    span.end()
    assert [each.name for each in kept.get_finished_spans()] == ["machine open"]


def test_a_machine_whose_environment_asks_for_what_is_not_installed_is_served_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with capture_logs() as lines:
        assert type(traces_wanted(RECEIVER)) is Traces
    assert [line["event"] for line in lines] == ["nothing is traced"]


async def test_a_receiver_that_does_not_answer_holds_up_the_end_of_a_node_for_two_seconds_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Stuck(TracerProvider):
        def shutdown(self) -> None:
            assert given_up.wait(20.0), "nobody gave up"

    given_up, node = Event(), Between().near
    stuck = RecordedTraces(Stuck(), given_up.set)
    monkeypatch.setattr("relay.observing.open_traces", lambda environ: stuck)
    monkeypatch.setattr("relay.observing.LAST_SECONDS", 0.01)
    async with followed(cast(App, node)):
        assert node.hub.traces is stuck
    assert given_up.is_set()


@pytest.mark.parametrize(("told", "taken"), [(OUTSIDE, OUTSIDE), ("", ""), ("4bf92f3577b34da6", "")])
def test_a_command_is_a_step_of_the_trace_that_its_environment_names(told: str, taken: str) -> None:
    assert traceparent({"TRACEPARENT": told}) == taken
    assert traceparent({}) == ""
