"""Names what a node hands to its web floor, so that routes receive everything and build nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from relay.web.auth import Authenticator


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Everything that REST and sockets use; `relay/app.py` builds it once per process."""

    settings: Any  # relay.settings.Settings
    registry: Any  # relay.registry.Registry
    presence: Any  # relay.store.Presence
    revocations: Any  # relay.store.Revocations
    tickets: Any  # relay.store.Tickets
    devices: Any  # relay.store.DeviceCodes
    rates: Any  # relay.store.Rates
    directory: Any  # relay.node.directory.Directory
    router: Any  # relay.node.router.Router
    secrets: Any  # relay.rules.tokens.Secrets
    authenticator: Authenticator
    clock: Callable[[], int]  # Unix milliseconds
    randomness: Callable[[int], bytes]  # so many unguessable bytes
    readiness: Callable[[], list[str]]  # why this node should get no new peers; empty means ready
    nodes: Callable[[], list[str]]  # URLs where the cluster listens now, this node's included
