"""Shows that the checker finds each way in which a promise can be broken, and nothing where none is."""

from __future__ import annotations

import pytest

from tests.faults import checker, records
from tests.faults.checker import Input, Life, Output, Told


def said(*numbers: int, who: str = "s1") -> bytes:
    """What a program says, with these numbers."""
    return b"".join(records.write(7, who, number, 1.5) for number in numbers)


def shown(*pieces: bytes | None, finish: int | None = None, late: bool = False) -> list[str]:
    """The kinds of violation in what a browser was shown; None is a gap that it was told of."""
    output = Output("s1", "jane", late=late)
    for piece in pieces:
        if piece is None:
            output.gap()
        else:
            output.show(piece)
    if finish is not None:
        output.finish(finish)
    return [violation.kind for violation in output.violations]


def typed(count: int, applied: list[int], **fates: set[int]) -> list[str]:
    """The kinds of violation when so many were typed, with these fates, all else acknowledged."""
    entered = Input("s1", "jane")
    entered.typed = count
    entered.refused = fates.get("refused", set())
    entered.uncertain = fates.get("uncertain", set())
    entered.acknowledged = fates.get("acknowledged", set(range(1, count + 1)) - entered.refused - entered.uncertain)
    return [violation.kind for violation in entered.judge(applied)]


def test_a_record_reads_as_it_was_written_and_a_damaged_one_not_at_all() -> None:
    for number in range(1, 200):
        line = records.write(3, "jane@s1", number, 12.25)
        assert line.count(records.END) == 1
        assert len(line) <= records.LONGEST_BYTES
        record = records.read(line[:-1])
        assert record is not None
        assert (record.who, record.number, record.said_at) == ("jane@s1", number, 12.25)
        assert records.read(line[:-2]) is None
        assert records.read(line[1:-1]) is None
        assert records.read(line[:-1].replace(b" 12250000 ", b" 12250001 ")) is None
    assert len({len(records.write(3, "jane@s1", number, 0)) for number in range(200)}) > 100


@pytest.mark.parametrize("size", [1, 7, 1_000, 100_000])
def test_everything_once_and_in_order_is_right_wherever_it_is_cut(size: int) -> None:
    stream = said(*range(1, 60))
    assert shown(*(stream[at : at + size] for at in range(0, len(stream), size)), finish=59) == []


def test_a_lost_record_is_found() -> None:
    assert shown(said(1, 2, 4)) == ["lost"]


def test_a_lost_part_of_a_record_is_found() -> None:
    stream = said(1, 2, 3)
    at = len(said(1)) + 5
    assert "corrupted" in shown(stream[:at] + stream[at + 1 :])


def test_a_repeated_record_is_found() -> None:
    assert shown(said(1, 2, 2, 3), finish=3) == ["repeated"]


def test_swapped_records_are_found() -> None:
    assert shown(said(1, 3, 2, 4), finish=4) == ["lost", "swapped"]


def test_a_hidden_gap_is_found_and_a_declared_one_is_no_violation() -> None:
    stream = said(*range(1, 20))
    middle = stream.index(b"~s1 12 ") + 9
    assert shown(said(1, 2), None, stream[middle:], finish=19) == []
    assert shown(said(1, 2), stream[middle:]) != []
    assert shown(said(1, 2)[:-4], None, said(9, 10), finish=10) == []


def test_what_was_shown_before_a_gap_is_not_shown_again_behind_it() -> None:
    assert shown(said(1, 2, 3), None, said(3, 4)) == ["repeated"]


def test_a_lost_last_record_is_found() -> None:
    assert shown(said(1, 2), finish=3) == ["cut off"]
    assert shown(said(1, 2), None, finish=3) == ["cut off"]
    assert shown(said(1, 2, 3)[:-1], finish=3) == ["cut off"]


def test_records_of_another_session_are_found() -> None:
    assert shown(said(1), said(2, who="s2"), said(2), finish=2) == ["corrupted"]


def test_who_comes_late_may_begin_anywhere_and_misses_nothing_from_there() -> None:
    stream = said(*range(5, 9))
    assert shown(stream[30:], finish=8, late=True) == []
    assert shown(stream[30:] + said(10), late=True) == ["lost"]


def test_input_once_and_in_order_is_right() -> None:
    assert typed(5, [1, 2, 3, 4, 5]) == []
    assert typed(5, [1, 2, 5], refused={3, 4}) == []
    assert typed(5, [1, 2, 4], uncertain={3, 4, 5}) == []


def test_input_that_is_applied_twice_is_found() -> None:
    assert typed(3, [1, 2, 2, 3]) == ["applied twice"]


def test_input_in_the_wrong_order_is_found() -> None:
    assert typed(3, [1, 3, 2]) == ["swapped"]


def test_input_that_is_lost_although_it_was_acknowledged_is_found() -> None:
    assert typed(3, [1, 3]) == ["acknowledged, not applied"]


def test_input_that_nobody_ever_spoke_of_again_is_found() -> None:
    assert typed(3, [1], acknowledged={1, 2}) == ["acknowledged, not applied", "vanished"]


def test_input_that_was_refused_and_applied_is_found() -> None:
    assert typed(2, [1, 2], refused={2}) == ["refused, yet applied"]


def test_input_that_nobody_typed_is_found() -> None:
    assert typed(1, [1, 2]) == ["never typed"]


def test_what_a_program_noted_is_read_by_browser_and_damage_is_seen() -> None:
    noted = said(1, who="jane") + said(1, who="mary") + said(2, who="jane") + b"!stop\n" + said(3)[5:]
    found = checker.heard(noted)
    assert found.applied == {"jane": [1, 2], "mary": [1]}
    assert len(found.corrupted) == 1


def test_a_machine_that_is_said_to_be_offline_while_its_agent_lives_is_found() -> None:
    lives = [Life("m1", 10, 20), Life("m2", 10)]
    told = [Told(15, "m1", "degraded", False), Told(21, "m1", "offline", False), Told(9, "m2", "offline", False)]
    assert checker.false_offline(told, lives) == []
    wrong = [Told(19.9, "m1", "offline", False), Told(99, "m2", "offline", False)]
    assert [violation.who for violation in checker.false_offline([*told, *wrong], lives)] == ["m1", "m2"]


def test_a_revoked_machine_that_comes_back_is_found() -> None:
    told = [Told(10.5, "m1", "live", True), Told(30, "m2", "live", True), Told(30, "m1", "offline", False)]
    assert checker.come_back(told, {"m1": 10.0}, within_seconds=2.0) == []
    late = Told(12.5, "m1", "live", True)
    assert [violation.who for violation in checker.come_back([*told, late], {"m1": 10.0}, 2.0)] == ["m1"]
