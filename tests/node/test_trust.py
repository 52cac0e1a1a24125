"""Shows when a node that cannot read the registry takes Redis's word for it that nobody revoked a machine."""

from __future__ import annotations

import asyncio

import pytest

from relay.errors import RegistryUnavailable
from relay.node.trust import ENDED_SECONDS, Trust
from relay.store import Lease

SECONDS = 30.0


def lease(boot: str, *, away: bool = True) -> Lease:
    """What another node says; that it cannot read the registry either, unless told otherwise."""
    return Lease(boot, f"http://{boot}", 1, away=away)


class Registry:
    """Of the node that is looked at."""

    def __init__(self) -> None:
        self.away = True
        self.trust = Trust(lambda: self.away, SECONDS)


@pytest.fixture
def here() -> Registry:
    """A node that has just lost it."""
    return Registry()


def test_a_node_that_reads_the_registry_asks_nobody(here: Registry) -> None:
    here.away = False
    here.trust.look(0, [lease("other")])
    here.trust.look(5, [])
    assert here.trust.holds(10 * SECONDS)


def test_a_registry_that_is_away_for_everybody_keeps_nobody_out_however_long(here: Registry) -> None:
    """Nobody can revoke meanwhile."""
    for now in range(0, 600, 5):
        here.trust.look(now, [lease("one"), lease("two")])
        assert here.trust.holds(now)


def test_a_node_that_has_no_others_trusts_itself(here: Registry) -> None:
    here.trust.look(0, [])
    here.trust.look(600, [])
    assert here.trust.holds(600)


def test_a_node_that_vanished_may_be_revoking_and_machines_are_let_in_for_some_seconds_more(here: Registry) -> None:
    here.trust.look(0, [lease("other", away=False)])
    here.trust.look(5, [], ["other"])
    assert here.trust.holds(5 + SECONDS)
    here.trust.look(10, [], ["other"])
    assert not here.trust.holds(6 + SECONDS)


def test_it_may_be_one_that_had_vanished_before_the_registry_did(here: Registry) -> None:
    here.away = False
    here.trust.look(0, [lease("other")])
    here.trust.look(100, [], ["other"])
    here.away = True
    here.trust.look(105, [], ["other"])
    assert here.trust.holds(105 + SECONDS)
    assert not here.trust.holds(106 + SECONDS)


def test_or_before_this_node_started(here: Registry) -> None:
    """Redis remembers it."""
    here.trust.look(0, [], ["other"])
    assert not here.trust.holds(1 + SECONDS)


def test_another_node_that_reads_the_registry_tells_redis_of_everything(here: Registry) -> None:
    here.trust.look(0, [lease("one"), lease("two")])
    here.trust.look(600, [lease("one", away=False)], ["two"])
    assert here.trust.holds(600)


def test_who_left_on_purpose_is_missed_by_nobody(here: Registry) -> None:
    here.trust.look(0, [lease("other")])
    here.trust.look(5, [])
    here.trust.look(600, [])
    assert here.trust.holds(600)


def test_machines_are_let_in_again_when_the_missing_node_is_back(here: Registry) -> None:
    here.trust.look(5, [], ["other"])
    here.trust.look(100, [], ["other"])
    assert not here.trust.holds(100)
    here.trust.look(105, [lease("other")])
    assert here.trust.holds(105 + SECONDS)


def test_or_when_this_node_reads_the_registry_again(here: Registry) -> None:
    here.trust.look(5, [], ["other"])
    here.away = False
    assert here.trust.holds(100)


def test_a_node_is_missed_although_redis_forgot_of_it_until_it_is_back_or_has_been_gone_for_an_hour(
    here: Registry,
) -> None:
    for back in (False, True):
        here.trust.look(0, [], [], ["other"])
        here.trust.look(5, [])
        assert not here.trust.holds(ENDED_SECONDS - 1)
        here.trust.look(10 if back else ENDED_SECONDS, [lease("other")] if back else [])
        assert here.trust.holds(ENDED_SECONDS)


async def test_a_machine_is_sent_away_as_by_any_trouble_of_ours(here: Registry) -> None:
    here.trust.check()  # to start, a node read the registry; it looks for others at once
    now = asyncio.get_running_loop().time()
    here.trust.look(now - 2 * SECONDS, [], ["other"])
    with pytest.raises(RegistryUnavailable):
        here.trust.check()
