from typing import Any

import msgspec
import pytest

from relay.rules.machine import ActiveSession, Labels, as_dict, describe, iso
from relay.rules.presence import Info, Record
from tests.rules.samples import NOW_MS, number, record, registered

LIVE = record(4_200, info=Info(4711, 2, ActiveSession("s", "then", {"user": "jane"}), "1.5.0", "mac-studio.local"))


def shown(subject: Record | None, settled: bool = True, **changes: Any) -> dict[str, Any]:
    return as_dict(describe(registered(**changes), subject, NOW_MS, settled, ["watch"]))


def test_a_live_machine_is_shown_in_the_shape_of_the_contract() -> None:
    assert shown(LIVE) == {
        "id": number(1),
        "name": "mac-studio",
        "hostname": "mac-studio.local",
        "workspaceId": "aaaaaaaa-0000-4000-8000-000000000000",
        "workspaceName": "acme",
        "owner": {"id": "00000000-0000-4000-8000-00000000000a", "name": "Jane"},
        "visibility": "SHARED",
        "version": "1.5.0",
        "pid": 4711,
        "online": True,
        "state": "live",
        "connected": True,
        "lastSeenAt": "2026-11-22T09:59:55.923Z",
        "heartbeatAgeSeconds": 4,
        "offlineReason": None,
        "labels": {"os": "linux"},
        "activeSession": {"sessionId": "s", "startedAt": "then", "operator": {"user": "jane"}},
        "sessions": 2,
        "createdAt": "2026-11-21T10:00:00.123Z",
        "shadowedBy": None,
        "can": ["watch"],
    }


def test_an_offline_machine_shows_nothing_that_only_a_running_agent_knows() -> None:
    machine = shown(record(500_000, info=LIVE.info))
    empty = {"online": False, "connected": False, "pid": None, "activeSession": None, "sessions": 0}
    assert machine | empty == machine
    assert (machine["state"], machine["offlineReason"]) == ("offline", "silent")
    assert machine["heartbeatAgeSeconds"] == 500
    assert machine["version"] == "1.4.0"


def test_a_dropped_machine_is_online_and_not_connected() -> None:
    machine = shown(record(5_000, deadline_ms=NOW_MS + 6_000, connected=False, reason="dropped"))
    assert (machine["state"], machine["online"], machine["connected"]) == ("degraded", True, False)
    assert machine["offlineReason"] is None


def test_the_record_says_why_and_else_the_registry_and_else_the_rule() -> None:
    overdue = record(500_000)
    assert shown(record(500_000, reason="closed"), offline_reason="silent")["offlineReason"] == "closed"
    assert shown(overdue, offline_reason="node-lost")["offlineReason"] == "node-lost"
    assert shown(record(500_000, connected=False))["offlineReason"] == "dropped"
    assert shown(None, offline_reason="dropped")["offlineReason"] == "dropped"
    assert shown(None)["offlineReason"] == "silent"


def test_a_machine_without_a_record_was_last_seen_when_the_registry_was_told() -> None:
    machine = shown(None, offline_reason="closed")
    assert machine["lastSeenAt"] == "2026-11-22T09:50:00.123Z"
    assert machine["heartbeatAgeSeconds"] == 600


def test_a_machine_that_never_connected_is_offline_without_a_reason_even_while_unsettled() -> None:
    for settled in (True, False):
        machine = shown(None, settled, last_seen_ms=None)
        assert (machine["state"], machine["offlineReason"]) == ("offline", None)
        assert (machine["lastSeenAt"], machine["heartbeatAgeSeconds"]) == (None, None)


def test_while_redis_is_unsettled_a_machine_keeps_the_better_of_what_is_known() -> None:
    assert shown(None, settled=False)["state"] == "degraded"
    assert shown(None, settled=False)["connected"] is False
    assert shown(None, settled=False, offline_reason="closed")["state"] == "offline"


def test_an_agent_that_does_not_say_its_version_keeps_the_registered_one() -> None:
    assert shown(record(info=Info()))["version"] == "1.4.0"


def test_a_clock_behind_the_last_beat_shows_no_negative_age() -> None:
    assert shown(record(-400))["heartbeatAgeSeconds"] == 0


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (NOW_MS, "2026-11-22T10:00:00.123Z"),
        (NOW_MS - 123, "2026-11-22T10:00:00.000Z"),
        (1_709_164_799_999, "2024-02-28T23:59:59.999Z"),
    ],
)
def test_times_are_iso_8601_utc_with_milliseconds(ms: int, text: str) -> None:
    assert iso(ms) == text


@pytest.mark.parametrize("labels", [{"": "x"}, {"k" * 129: "x"}, {"k": "x" * 129}, {str(n): "" for n in range(33)}])
def test_labels_have_limits(labels: dict[str, str]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(labels, Labels)
