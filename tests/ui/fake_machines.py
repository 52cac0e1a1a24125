"""Makes machines as a relay describes them, for the page to show."""

from __future__ import annotations

import uuid
from typing import Any

from relay.rules.machine import ActiveSession, Machine, Owner

WORKSPACE = "11111111-1111-4111-8111-111111111111"
OTHER_WORKSPACE = "22222222-2222-4222-8222-222222222222"
JANE = "33333333-3333-4333-8333-333333333333"
NOW = "2026-11-22T10:00:00.000Z"


def machine(name: str, **changes: Any) -> Machine:
    """A live machine of Jane's, with changes."""
    fields: dict[str, Any] = {
        "id": str(uuid.uuid5(uuid.NAMESPACE_DNS, name)),
        "name": name,
        "hostname": f"{name}.local",
        "workspace_id": WORKSPACE,
        "workspace_name": "acme",
        "owner": Owner(id=JANE, name="Jane"),
        "visibility": "SHARED",
        "version": "1.4.0",
        "pid": 4711,
        "online": True,
        "state": "live",
        "connected": True,
        "last_seen_at": NOW,
        "heartbeat_age_seconds": 4,
        "offline_reason": None,
        "labels": {"os": "linux"},
        "active_session": None,
        "sessions": 0,
        "created_at": NOW,
        "can": ["watch", "drive", "manage"],
    }
    return Machine(**fields | changes)


def offline(name: str, last_seen_at: str = "2026-11-22T09:20:00.000Z", **changes: Any) -> Machine:
    """A machine that is away."""
    away: dict[str, Any] = {"online": False, "state": "offline", "connected": False, "pid": None}
    return machine(name, **away, last_seen_at=last_seen_at, offline_reason="dropped", **changes)


def in_use(name: str, user: str, client: str) -> Machine:
    """A machine that somebody is on."""
    active = ActiveSession(session_id=str(uuid.uuid4()), started_at=NOW, operator={"user": user, "client": client})
    return machine(name, active_session=active, sessions=1)
