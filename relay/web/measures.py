"""Counts REST answers, and serves all metrics of a node on a port of their own."""

from __future__ import annotations

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from relay.instruments import Instruments
from relay.rules import metrics
from relay.rules.tally import Tally


class Measures:
    """What REST counts; calls and statuses are few and known, so no label grows with use."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._instruments = Instruments(registry, (metrics.REST_ANSWERS, metrics.REST))
        self._answers = self._instruments.counts(metrics.REST_ANSWERS)
        self._seconds: dict[str, Tally] = {}

    def answered(self, call: str, status: int, seconds: float) -> None:
        """Counts one answer."""
        self._answers[call, str(status)] += 1
        tally = self._seconds.get(call)
        if tally is None:
            tally = self._seconds[call] = self._instruments.tally(metrics.REST, call)
        tally.add(seconds)


def create_metrics(registry: CollectorRegistry) -> Starlette:
    """The application that listens on the metrics port: `/metrics` and nothing else."""

    async def metrics(request: Request) -> Response:
        encode, media_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"content-type": media_type})

    return Starlette(routes=[Route("/metrics", metrics)])
