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
    """Whether this node takes new peers, and if not, why; and what does not work although it does.

    A node whose registry is away stays ready: it is away for all nodes or nearly, so that turning this one's peers away
    would leave them with nobody, and its agents, open sockets and lists do without. Writes answer 503 meanwhile. So
    does a node while a server of a Redis Cluster is away, unless its own inbox is there: the machines of that server's
    shards wait for it, and all others find nothing amiss. The gauge `relay_shards_away` and the log tell which.

    Where it says `revocations-unknown` it lets no machine in, of whatever workspace: it cannot read the registry, and
    a node vanished that may have revoked some. Browsers and the machines that it has notice nothing of that.

    Reasons: `draining`; `bus-deaf`, other nodes cannot reach it; `lease-lapsed`, they take it for gone; `redis-lost`;
    and `misconfigured`, since it started the servers of its RELAY_REDIS_URL were given to a cluster with another list
    of them or another registry. The log names both; it takes nobody until they are its own again.
    """

    ready: bool
    reasons: list[str]
    impaired: list[str]


async def healthz(ask: Ask) -> Response:
    """Alive is whoever answers."""
    return answer(Healthy())


async def readyz(ask: Ask) -> Response:
    """503 takes the node out of its balancer; sockets that it has stay."""
    reasons = ask.parts.readiness()
    body = msgspec.json.encode(Ready(ready=not reasons, reasons=reasons, impaired=ask.parts.impaired()))
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
        does="Tells whether this node takes new peers; 503 with reasons while it drains, is deaf, has lost Redis "
        "or shares it with another cluster.",
        handle=readyz,
        answer=Ready,
        asker="anybody",
        statuses=(200, 503),
    ),
)
