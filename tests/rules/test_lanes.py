import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.errors import Invalid
from relay.rules import lanes
from relay.rules.lanes import Arrival, EntryKind, Opening, arrival, batch, entries, entry, open_batch, output_head

quick = settings(derandomize=True, deadline=None, max_examples=30)
OPENING = Opening(bytes(range(16)), 7, 2**40, 2**20)
OUTPUT = (bytes(16), 2**63, bytes(range(16)), 65_535)
ENTRIES = [entry(EntryKind.HOP, b"{}"), output_head(*OUTPUT, 5), b"ready", entry(EntryKind.INPUT, b"machine", b"frame")]


def bodies(data: bytes) -> list[tuple[int, bytes]]:
    return [(kind, data[at:end]) for kind, at, end in entries(data)]


def test_a_batch_carries_its_sender_its_number_and_its_entries_in_order() -> None:
    whole = batch(*OPENING, ENTRIES)
    assert open_batch(whole) == OPENING
    output = lanes.OUTPUT.pack(*OUTPUT) + b"ready"
    assert bodies(whole) == [(EntryKind.HOP, b"{}"), (EntryKind.OUTPUT, output), (EntryKind.INPUT, b"machineframe")]


def test_an_empty_batch_says_its_number_and_what_its_sender_took() -> None:
    assert open_batch(batch(*OPENING, [])) == OPENING
    assert bodies(batch(*OPENING, [])) == []


def test_a_batch_shorter_than_its_prefix_is_invalid() -> None:
    with pytest.raises(Invalid, match="shorter"):
        open_batch(batch(*OPENING, [])[:-1])


@pytest.mark.parametrize(("cut", "where"), [(1, "inside an entry"), (lanes.ENTRY.size, "entry's prefix")])
def test_a_batch_that_was_cut_is_invalid_where_it_ends(cut: int, where: str) -> None:
    whole = batch(*OPENING, [entry(EntryKind.HOP, b"first"), entry(EntryKind.HOP, b"x")])[:-cut]
    walk = entries(whole)
    _, at, end = next(walk)
    assert whole[at:end] == b"first"
    with pytest.raises(Invalid, match=where):
        next(walk)


@quick
@given(data=st.binary(max_size=80))
def test_any_bytes_are_a_batch_or_invalid(data: bytes) -> None:
    try:
        opening = open_batch(data)
        again = [entry(EntryKind.HOP, body) for _, body in bodies(data)]
    except Invalid:
        return
    assert len(batch(*opening, again)) == len(data)


@pytest.mark.parametrize(
    ("expected", "number", "meaning"),
    [
        (5, 5, Arrival.NEXT),
        (5, 4, Arrival.REPEATED),
        (5, 7, Arrival.GAP),
        (5, 1, Arrival.GAP),  # the sender began the lane again
        (None, 1, Arrival.NEXT),
        (None, 3, Arrival.GAP),  # what came before 3 was never heard
    ],
)
def test_the_number_of_a_batch_says_whether_something_is_missing(
    expected: int | None, number: int, meaning: Arrival
) -> None:
    assert arrival(expected, number) is meaning
