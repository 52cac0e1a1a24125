"""Answers probes: alive, and ready for new peers, with the reasons when not."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from relay.web.bodies import JSON, Answer, answer
from relay.web.call import Ask, Call


class Healthy(Answer):
    """The process runs and its loop turns."""

    ok: bool = True


class Ready(Answer):
    """Whether this node takes new peers, and if not, why."""

    ready: bool
    reasons: list[str]


async def healthz(ask: Ask) -> Response:
    """Alive is whoever answers."""
    return answer(Healthy())


async def readyz(ask: Ask) -> Response:
    """503 takes the node out of its balancer; sockets that it has stay."""
    reasons = ask.parts.readiness()
    body = msgspec.json.encode(Ready(ready=not reasons, reasons=reasons))
    return Response(body, 503 if reasons else 200, {"cache-control": "no-store"}, JSON)


CALLS = (
    Call(
        method="GET",
        path="/healthz",
        does="Tells that the process is alive.",
        handle=healthz,
        answer=Healthy,
        asker="anybody",
    ),
    Call(
        method="GET",
        path="/readyz",
        does="Tells whether this node takes new peers; 503 with reasons while it drains or cannot hear the others.",
        handle=readyz,
        answer=Ready,
        asker="anybody",
        statuses=(200, 503),
    ),
)
