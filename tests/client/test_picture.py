"""Tests of the picker's picture: parts of snapshots, changes in order, and gaps."""

from __future__ import annotations

from relay.client.picture import Applied, Picture
from relay.rules.browser_messages import LastSeen, MachineChanged, MachineGone, Snapshot
from tests.client.small_relay import MACHINE, WORKSPACE, machine

NOW = "2026-11-22T10:00:00.000Z"
OTHER = "00000000-0000-4000-8000-000000000009"


def snapshot(seq: int, *machines: str, more: bool = False) -> Snapshot:
    found = [machine(id=each) for each in machines]
    return Snapshot(workspace=WORKSPACE, seq=seq, now=NOW, machines=found, more=more)


def changed(seq: int, **changes: object) -> MachineChanged:
    return MachineChanged(workspace=WORKSPACE, seq=seq, machine=machine(**changes))


def test_a_snapshot_in_parts_is_shown_when_it_is_whole() -> None:
    picture = Picture()
    assert picture.apply(snapshot(1, MACHINE, more=True)) is Applied.PARTIAL
    assert not picture.whole
    assert picture.apply(snapshot(1, OTHER)) is Applied.CHANGED
    assert set(picture.machines) == {MACHINE, OTHER}


def test_changes_apply_in_order() -> None:
    picture = Picture()
    picture.apply(snapshot(1, MACHINE))
    assert picture.apply(changed(2, name="renamed")) is Applied.CHANGED
    assert picture.machines[MACHINE].name == "renamed"
    picture.apply(LastSeen(workspace=WORKSPACE, seq=3, at={MACHINE: "later", OTHER: "unknown"}))
    assert picture.machines[MACHINE].last_seen_at == "later"
    picture.apply(MachineGone(workspace=WORKSPACE, seq=4, id=MACHINE))
    assert picture.machines == {}


def test_a_missing_message_is_a_gap_and_nothing_applies_until_the_next_snapshot() -> None:
    picture = Picture()
    picture.apply(snapshot(1, MACHINE))
    assert picture.apply(changed(3, name="too new")) is Applied.GAP
    assert picture.apply(changed(4, name="too new")) is Applied.OLD
    assert picture.machines[MACHINE].name == "mac-studio"
    picture.apply(snapshot(1, OTHER))
    assert set(picture.machines) == {OTHER}
    assert picture.whole


def test_a_repeated_message_is_old() -> None:
    picture = Picture()
    picture.apply(snapshot(5, MACHINE))
    assert picture.apply(changed(5, name="old")) is Applied.OLD


def test_a_lost_subscription_still_shows_what_there_was() -> None:
    picture = Picture()
    picture.apply(snapshot(1, MACHINE))
    picture.lose()
    assert not picture.whole
    assert set(picture.machines) == {MACHINE}


def test_parts_of_a_snapshot_that_was_given_up_do_not_mix_with_the_next() -> None:
    picture = Picture()
    picture.apply(snapshot(1, OTHER, more=True))
    picture.lose()
    picture.apply(snapshot(1, MACHINE))
    assert set(picture.machines) == {MACHINE}
