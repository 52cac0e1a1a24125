"""Shows which failures count against a promise, and which are the right answer."""

from __future__ import annotations

import pytest

from relay.errors import Forbidden, NotFound, Offline, RegistryUnavailable, RelayError, TimedOut, Unavailable
from relay.node.outcomes import Outcomes, outcome


@pytest.mark.parametrize("error", [Offline("away"), NotFound("none"), Forbidden("no")])
def test_the_right_answer_breaks_no_promise(error: RelayError) -> None:
    assert outcome(error) == "denied"


@pytest.mark.parametrize(
    "error", [Unavailable("away"), RegistryUnavailable("away"), TimedOut("late"), ValueError("a mistake of ours")]
)
def test_our_own_trouble_breaks_one(error: Exception) -> None:
    assert outcome(error) == "failed"


def test_requests_are_counted_by_what_became_of_them() -> None:
    outcomes = Outcomes()
    outcomes.requested("open", 0.02, None)
    outcomes.requested("open", 30.0, TimedOut("late"))
    assert outcomes.requests == {("open", "done"): 1, ("open", "failed"): 1}
    assert outcomes.request_seconds["open"].total == pytest.approx(30.02)
