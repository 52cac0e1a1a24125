"""Follows one request through the cluster: its id is in every log line about it, and in OpenTelemetry if asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

from relay import VERSION
from relay.errors import Misconfigured

# W3C Trace Context: version, trace, span, flags. Where nobody records traces, the ids are ours and the flags say so.
_VERSION, _NOT_RECORDED = "00", "00"
_SPAN_CHARACTERS = 16
_CARRIED = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")

# What a node that leaves waits for a receiver of traces: its successor is waited for, and the SDK would try for 10 s.
LAST_SECONDS = 2.0

# The standard's own variables; any of them that names a receiver turns traces on.
ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


class Span:
    """One step of a request, on one node or machine."""

    __slots__ = ("carried",)
    recorded = False

    def __init__(self, carried: str) -> None:
        self.carried = carried  # what the next step is told, as in the header `traceparent`

    @property
    def trace(self) -> str:
        """The id that all steps of the request share; empty for one that has none."""
        return trace_of(self.carried)

    def end(self, error: str = "") -> None:
        """The step is over; with the code of an error if it failed. Twice is as good as once."""


UNTOLD = Span("")  # a step of which nobody keeps anything


class Traces:
    """Gives requests their ids, and records nothing."""

    def begin(self, name: str, carried: str = "", **told: str) -> Span:
        """A step of the request that `carried` names, or the first of a new one. What was carried goes on as it is, so
        that somebody behind who records it joins it to somebody before."""
        if trace_of(carried):
            return Span(carried)
        return Span(f"{_VERSION}-{uuid4().hex}-{uuid4().hex[:_SPAN_CHARACTERS]}-{_NOT_RECORDED}")

    def follow(self, name: str, carried: str, **told: str) -> Span:
        """The same for a step whose id no line of a log tells: where nobody records, a new one has none."""
        return Span(carried) if carried and trace_of(carried) else UNTOLD

    def close(self) -> None:
        """Send what has not been sent."""

    def give_up(self) -> None:
        """Send nothing more: whoever closes these has waited for `LAST_SECONDS`."""


class RecordedSpan(Span):
    """A step that OpenTelemetry records."""

    __slots__ = ("_span",)
    recorded = True

    def __init__(self, carried: str, span: Any) -> None:
        super().__init__(carried)
        self._span = span

    def end(self, error: str = "") -> None:
        """See `Span`."""
        if not self._span.is_recording():
            return  # it has ended, or nobody keeps it
        if error:
            from opentelemetry.trace import StatusCode

            self._span.set_status(StatusCode.ERROR, error)
            self._span.set_attribute("error.type", error)
        self._span.end()


class RecordedTraces(Traces):
    """Records each step with a provider of OpenTelemetry's SDK. `give_up` ends an attempt to send that is under way."""

    def __init__(self, provider: Any, give_up: Callable[[], object] = lambda: None) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._give_up = give_up
        self._tracer = provider.get_tracer("relay", VERSION)
        self._propagator = TraceContextTextMapPropagator()

    def begin(self, name: str, carried: str = "", **told: str) -> Span:
        """See `Traces`."""
        from opentelemetry.trace import SpanKind, set_span_in_context

        context = self._propagator.extract({"traceparent": carried}) if trace_of(carried) else None
        attributes = {f"relay.{key}": value for key, value in told.items()}
        span = self._tracer.start_span(name, context, SpanKind.SERVER, attributes)
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, set_span_in_context(span))
        return RecordedSpan(carrier["traceparent"], span)

    def follow(self, name: str, carried: str, **told: str) -> Span:
        """See `Traces`."""
        return self.begin(name, carried, **told)

    def close(self) -> None:
        """See `Traces`; may take as long as the exporter waits for its receiver, unless it is told to give up."""
        self._provider.shutdown()

    def give_up(self) -> None:
        """See `Traces`."""
        self._give_up()


def trace_of(carried: str) -> str:
    """The trace in what another node told; empty for anything that is none."""
    match = _CARRIED.fullmatch(carried)
    return match[1] if match is not None else ""


def open_traces(environ: Mapping[str, str], service: str = "relay") -> Traces:
    """Traces as the standard's variables ask for them: recorded if they name a receiver, as those of `service` unless
    they name that too. Raises `Misconfigured` if what that takes is not installed."""
    wanted = any(environ.get(name) for name in ENDPOINTS)
    off = environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or environ.get("OTEL_TRACES_EXPORTER") == "none"
    if off or not wanted:
        return Traces()
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise Misconfigured("OTEL_* variables ask for traces: install relay-cluster[traces]") from None
    named = {} if environ.get("OTEL_SERVICE_NAME") else {"service.name": service}
    provider = TracerProvider(resource=Resource.create({**named, "service.version": VERSION}))
    exporter = OTLPSpanExporter()
    provider.add_span_processor(BatchSpanProcessor(exporter))  # bounded, in a thread of its own
    return RecordedTraces(provider, exporter.shutdown)
