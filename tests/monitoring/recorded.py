"""Keeps the traces of two nodes, a machine and a person in memory, and shows them as who caused what."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from relay.agent.requests import Requests
from relay.node.agent import Agent
from relay.rules.agent_messages import AgentAttach, AgentDetach, Answer, Request, SessionChanged, to_agent
from relay.rules.messages import Attached, Attaching, Message
from relay.traces import RecordedTraces
from tests.agent.machine import Machine, machine
from tests.node.two_nodes import Between, Node, Peer


class Recorded:
    """Everything that ends is kept, of all who are given these traces."""

    def __init__(self, between: Between | None = None) -> None:
        self.kept = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.kept))
        self.traces = RecordedTraces(provider)
        for node in (between.near, between.far) if between is not None else ():
            node.hub.traces = self.traces

    def spans(self) -> dict[str, ReadableSpan]:
        """What has ended, by name."""
        return {span.name: span for span in self.kept.get_finished_spans()}

    def way(self, last: str) -> list[str]:
        """The names of the steps that led to this one, from the first on; all of one trace."""
        by_id = {span.context.span_id: span for span in self.kept.get_finished_spans()}
        span, names = self.spans()[last], [last]
        while span.parent is not None and span.parent.span_id in by_id:
            assert span.parent.trace_id == span.context.trace_id
            span = by_id[span.parent.span_id]
            names.insert(0, span.name)
        return names

    def failures(self) -> dict[str, object]:
        """What went wrong, by the name of the step that it went wrong in."""
        return {
            span.name: span.attributes["error.type"]
            for span in self.kept.get_finished_spans()
            if span.attributes and "error.type" in span.attributes
        }


class Wire(Peer):
    """An agent's socket with a whole machine behind it."""

    def __init__(self, machine: Machine, tasks: asyncio.TaskGroup) -> None:
        super().__init__()
        self._machine = machine
        self._requests = Requests(machine.sessions, machine.history)
        self._tasks = tasks
        self.agent: Agent | None = None  # as its node knows it
        self.node: Node | None = None
        machine.outlet.listener = self._said

    def send_text(self, data: bytes) -> bool:
        """Hand it to the machine."""
        super().send_text(data)
        match to_agent(data):
            case AgentAttach() as ask:
                self._machine.sessions.attach(ask)
            case AgentDetach() as left:
                self._machine.sessions.detach(left)
            case Request() as request:
                self._tasks.create_task(self._answer(request))
        return True

    async def _answer(self, request: Request) -> None:
        self._said(await self._requests.answer(request))

    def _said(self, item: bytes | Message) -> None:
        assert self.node is not None
        assert self.agent is not None
        router = self.node.router
        match item:
            case bytes():
                router.fanout.from_agent(self.agent, item)
            case SessionChanged():
                router.sessions.announced(self.agent, item.session)
            case Attaching() | Attached():
                router.sessions.told(self.agent, item)
            case Answer():
                router.requests.answered(self.agent, item)


@asynccontextmanager
async def served(node: Node, folder: Path, recorded: Recorded) -> AsyncIterator[Agent]:
    """A machine on this node, whose traces are kept too."""
    async with machine(folder) as real, asyncio.TaskGroup() as tasks:
        real.sessions.traces = recorded.traces
        wire = Wire(real, tasks)
        wire.node, wire.agent = node, node.agent(socket=wire)
        yield wire.agent
