"""Counts REST answers, and serves all metrics of a node on a port of their own."""

from __future__ import annotations

import asyncio
from typing import cast

from prometheus_client import CollectorRegistry
from prometheus_client import Metric as Family
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from relay.instruments import Instruments
from relay.rules import metrics
from relay.rules.tally import Tally

END = b"# EOF\n"  # of OpenMetrics


class _One:
    """A registry with a single family."""

    def __init__(self, family: Family) -> None:
        self._family = family

    def collect(self) -> list[Family]:
        """As a registry does."""
        return [self._family]


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
        families = list(registry.collect())
        pieces = []
        for family in families:  # one by one: to write all at once would hold everybody on this node up for 10 ms
            pieces.append(encode(cast(CollectorRegistry, _One(family))).removesuffix(END))
            await asyncio.sleep(0)
        if "openmetrics" in media_type:
            pieces.append(END)
        return Response(b"".join(pieces), headers={"content-type": media_type})

    return Starlette(routes=[Route("/metrics", metrics)])
