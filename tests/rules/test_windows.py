import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.rules import limits
from relay.rules.windows import Flight, window, worth_telling

quick = settings(derandomize=True, deadline=None, max_examples=60)
REDIS_HELD_BYTES = 8 * limits.MIB  # waiting for one subscriber for 60 s, and Redis cuts it


@pytest.fixture
def flight() -> Flight:
    """A lane whose other node gives 1,000 bytes."""
    flight = Flight()
    flight.acknowledged(0, 1_000)
    return flight


def admitted(flight: Flight, flow: bytes, size: int) -> int:
    """How many frames of this size a session gets under way."""
    count = 0
    while flight.admit(flow, size):
        count += 1
    return count


@pytest.mark.parametrize(
    ("senders", "gives"),
    [
        (0, limits.LANE_WINDOW_BYTES),
        (1, limits.LANE_WINDOW_BYTES),
        (3, limits.LANE_WINDOW_BYTES // 3),
        (12, limits.LANE_FLOOR_BYTES),
        (500, limits.LANE_FLOOR_BYTES),  # less would stop healthy lanes
    ],
)
def test_a_window_is_divided_over_those_who_send_down_to_a_floor(senders: int, gives: int) -> None:
    assert window(senders) == gives


def test_all_windows_and_the_control_messages_of_a_lane_stay_below_what_redis_holds() -> None:
    for senders in range(1, limits.LANE_WINDOW_BYTES // limits.LANE_FLOOR_BYTES + 1):
        assert senders * window(senders) + limits.LANE_CONTROL_BYTES <= REDIS_HELD_BYTES


def test_a_receiver_speaks_up_four_times_a_window() -> None:
    assert worth_telling(1_000) == 250


def test_a_floods_three_quarters_leave_the_last_quarter_to_the_quiet(flight: Flight) -> None:
    assert admitted(flight, b"flood", 10) == 75
    assert [flight.admit(b"quiet", 10) for _ in range(10)] == [True] * 10
    assert not flight.admit(b"flood", 10)


def test_sessions_that_flood_together_get_equal_parts(flight: Flight) -> None:
    flows = [b"%d" % number for number in range(4)]
    counts = dict.fromkeys(flows, 0)
    for _ in range(100):
        for flow in flows:
            counts[flow] += flight.admit(flow, 10)
    assert max(counts.values()) - min(counts.values()) <= 1
    assert sum(counts.values()) * 10 >= 900


def test_what_is_acknowledged_is_under_way_no_more(flight: Flight) -> None:
    for number in (1, 2, 3):
        assert flight.admit(b"a", 100)
        assert flight.admit(b"b", 50)
        flight.left(number)
    assert flight.under_way == 450
    flight.acknowledged(2, 1_000)
    assert flight.under_way == 150
    flight.acknowledged(1, 1_000)  # an older one, late
    assert flight.under_way == 150
    flight.acknowledged(3, 2_000)  # with a wider window
    assert flight.under_way == 0
    assert admitted(flight, b"a", 10) == 150


def test_an_acknowledgement_of_a_lane_that_was_forgotten_means_nothing_but_its_window(flight: Flight) -> None:
    assert flight.admit(b"a", 100)
    flight.left(1)
    flight.acknowledged(57, 2_000)
    assert (flight.under_way, flight.window) == (100, 2_000)


def test_a_batch_that_the_bus_refused_is_not_under_way(flight: Flight) -> None:
    assert flight.admit(b"a", 100)
    flight.left(1)
    assert flight.admit(b"a", 200)
    flight.left(2)
    flight.lost(2)
    flight.left(3)  # an empty one
    flight.lost(3)
    assert flight.under_way == 100
    flight.acknowledged(1, 1_000)
    flight.lost(1)
    assert flight.under_way == 0


def test_no_window_refuses_control_but_a_node_that_takes_nothing_gets_no_more_in_the_end(flight: Flight) -> None:
    admitted(flight, b"flood", 1)
    assert flight.admit_control(limits.LANE_CONTROL_BYTES)
    assert not flight.admit_control(1)
    flight.left(1)
    flight.acknowledged(1, 1_000)
    assert flight.admit_control(1)


def test_a_batch_knows_whether_it_carries_control(flight: Flight) -> None:
    assert not flight.left(1)
    assert flight.admit(b"a", 1)
    assert not flight.left(2)
    assert flight.admit(b"a", 1)
    assert flight.admit_control(1)
    assert flight.left(3)


def test_the_largest_entry_fits_the_smallest_window() -> None:
    largest = 64 * limits.KIB + limits.FRAME_BYTES + limits.KIB  # frames joined up to a mark, one whole frame, headers
    assert Flight().admit(b"a", largest)


@quick
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["admit", "left", "lost", "taken"]), st.integers(0, 9), st.integers(1, 400))
    )
)
def test_whatever_happens_the_window_holds_and_everything_is_given_back(steps: list[tuple[str, int, int]]) -> None:
    flight, number = Flight(), 0
    flight.acknowledged(0, 1_000)
    for step, flow, size in steps:
        if step == "admit":
            flight.admit(b"%d" % flow, size)
        elif step == "left":
            flight.left(number := number + 1)
        elif step == "lost":
            flight.lost(number)
        else:
            flight.acknowledged(max(number - flow, 0), 1_000)
        assert 0 <= flight.under_way <= 1_000
    flight.left(number + 1)
    flight.acknowledged(number + 1, 1_000)
    assert flight.under_way == 0
    assert flight._flows == {}
