"""Counts REST answers, and serves all metrics of a node on a port of their own."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

# From a cached answer to one that waited for other nodes; the goals for lists are 30 and 100 ms.
BUCKETS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)


class Measures:
    """What REST counts; calls and statuses are few and known, so no label grows with use."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._answers = Counter("relay_rest_answers", "REST answers", ["call", "status"], registry=registry)
        self._seconds = Histogram(
            "relay_rest_seconds", "Time to a REST answer", ["call"], registry=registry, buckets=BUCKETS_SECONDS
        )

    def answered(self, call: str, status: int, seconds: float) -> None:
        """Counts one answer."""
        self._answers.labels(call, str(status)).inc()
        self._seconds.labels(call).observe(seconds)


def create_metrics(registry: CollectorRegistry) -> Starlette:
    """The application that listens on the metrics port: `/metrics` and nothing else."""

    async def metrics(request: Request) -> Response:
        encode, media_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"content-type": media_type})

    return Starlette(routes=[Route("/metrics", metrics)])
