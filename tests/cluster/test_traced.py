"""Shows one command's trace as a receiver of OpenTelemetry gets it: over two nodes, one of which traces nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.cli.person import Person
from tests.support.cluster import START_SECONDS, Agent, Team
from tests.support.ports import free_ports

OUTSIDE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"  # the step of a pipeline that runs the command
AT_ONCE_MS = "20"  # between a step's end and its sending, which is five seconds elsewhere


class Step(NamedTuple):
    """One span as it was sent."""

    service: str
    trace: str
    id: str
    parent: str


class Receiver:
    """What was sent, by name of the step."""

    def __init__(self, url: str) -> None:
        self.variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_BSP_SCHEDULE_DELAY": AT_ONCE_MS}
        self.steps: dict[str, Step] = {}
        self._more = threading.Condition()

    def take(self, data: bytes) -> None:
        """One request of an exporter."""
        with self._more:
            for sent in ExportTraceServiceRequest.FromString(data).resource_spans:
                named = {each.key: each.value.string_value for each in sent.resource.attributes}
                for span in (span for scope in sent.scope_spans for span in scope.spans):
                    ids = (each.hex() for each in (span.trace_id, span.span_id, span.parent_span_id))
                    self.steps[span.name] = Step(named["service.name"], *ids)
            self._more.notify_all()

    def way(self, last: str) -> list[str]:
        """The steps that led to this one, once it and they are here; the first is that of whoever sent nothing."""
        with self._more:
            assert self._more.wait_for(lambda: last in self.steps, START_SECONDS), self.steps
            way: list[str] = []
            self._more.wait_for(lambda: self._whole(way, last), START_SECONDS)
        return way

    def _whole(self, way: list[str], last: str) -> bool:
        names = {step.id: name for name, step in self.steps.items()}
        way[:] = [last]
        while (parent := self.steps[way[0]].parent) in names:
            way.insert(0, names[parent])
        return parent == OUTSIDE.split("-")[2]


@contextmanager
def receiver() -> Iterator[Receiver]:
    """A receiver that listens as long as this lasts."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            made.take(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made = Receiver(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()


def test_a_command_is_one_trace_from_the_pipeline_that_ran_it_into_the_machine(team: Team, tmp_path: Path) -> None:
    cluster = team.cluster
    port, metrics = free_ports(2)
    url = f"http://127.0.0.1:{port}"
    home = {"HOME": str(tmp_path), "RELAY_CONFIG_DIR": str(tmp_path / "machine")}
    with receiver() as received:
        agent = Agent(
            "agent-traced",
            cluster.folder,
            ["relay.cli", "serve", "--name", "traced"],
            {**home, "RELAY_URL": cluster.urls[1], "RELAY_TOKEN": team.key, **received.variables},
        )
        cluster.agents.append(agent)
        own = {"RELAY_PORT": str(port), "RELAY_PUBLIC_URL": url, "RELAY_METRICS_PORT": str(metrics)}
        node = cluster.nodes[0].another("traced", ["relay.cli", "node"], own | received.variables)
        try:
            agent.says("  connected  node=")
            node.says("a node begins")
            cluster.wait_ready(url)
            person = Person(tmp_path / "person", [url], team.owner.token, team.workspace)
            assert person.run("exec", "traced", "--", "echo", "hi", TRACEPARENT=OUTSIDE).stdout == "hi\n"
            assert received.way("agent open") == ["request open", "agent open"]
            assert received.way("agent attach") == ["request attach", "agent attach"]
            assert received.way("GET /api/resolve") == ["GET /api/resolve"]
            assert {step.trace for step in received.steps.values()} == {OUTSIDE.split("-")[1]}, received.steps
            assert received.steps["agent attach"].service == "relay-agent"
            assert received.steps["request attach"].service == "relay"
        finally:
            node.kill()
