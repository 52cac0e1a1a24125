"""Names what a node hands to its web floor, so that routes receive everything and build nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from relay.node.directory import Directory
from relay.node.router import Router
from relay.registry import Registry
from relay.rules.rhythm import Rhythm
from relay.rules.tokens import Secrets
from relay.settings import Settings
from relay.store import DeviceCodes, Leases, Presence, Rates, Revocations, Tickets
from relay.web.auth import Authenticator


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Everything that REST and sockets use; `relay/app.py` builds it once per process."""

    settings: Settings
    registry: Registry
    presence: Presence
    revocations: Revocations
    tickets: Tickets
    devices: DeviceCodes
    rates: Rates
    directory: Directory
    router: Router
    leases: Leases
    secrets: Secrets
    authenticator: Authenticator
    metrics: CollectorRegistry
    clock: Callable[[], int]  # Unix milliseconds
    randomness: Callable[[int], bytes]  # so many unguessable bytes
    changed: Callable[[], Awaitable[None]]  # after a write: this node reads its changes now and rings for the others
    readiness: Callable[[], list[str]]  # why this node should get no new peers; empty means ready
    impaired: Callable[[], list[str]]  # what does not work here, and is no reason to go elsewhere
    alive: Callable[[Iterable[str]], set[str]]  # boot ids of nodes that may live, given those listed in Redis
    rhythm: Callable[[], Rhythm]  # the times that an operator may change, as they are now
    nodes: Callable[[], list[str]]  # URLs where the cluster listens now, this node's included
