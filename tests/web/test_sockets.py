"""Shows that a crowd that comes at once is let in at the node's pace, with clients that do as they are told."""

from __future__ import annotations

import heapq
import math
from itertools import count
from random import Random

import pytest

from relay.client.back_off import BackOff
from relay.client.ends import Shed
from relay.web.sockets import RETRY_SECONDS, Bucket


def seconds_until_all_are_in(bucket: Bucket, clients: int, within_seconds: float) -> tuple[float, int]:
    """Everybody dials within so many seconds and obeys; when the last was let in, and how often all of them asked."""
    random, turns = Random(1), count()
    back_offs = [BackOff(random=random) for _ in range(clients)]
    coming = [(random.uniform(0, within_seconds), next(turns), back_off) for back_off in back_offs]
    heapq.heapify(coming)
    now, asked = 0.0, 0
    while coming:
        now, _, back_off = heapq.heappop(coming)
        asked += 1
        wait_seconds = bucket.wait_seconds(now)
        if wait_seconds:
            again = back_off.after(Shed("busy", "node", float(math.ceil(wait_seconds))))
            heapq.heappush(coming, (now + again, next(turns), back_off))
        assert now < 600, f"{len(coming)} of {clients} are never let in"
    return now, asked


@pytest.mark.parametrize(("per_second", "clients"), [(2_000.0, 10_000), (2_000.0, 60_000), (5.0, 40), (0.5, 10)])
def test_a_crowd_is_let_in_at_nearly_the_pace_that_the_node_can_keep(per_second: float, clients: int) -> None:
    took, asked = seconds_until_all_are_in(Bucket(per_second, clients), clients, within_seconds=0.5)
    assert took <= 1.5 * clients / per_second + RETRY_SECONDS / 4
    assert asked <= 4 * clients


def test_a_quiet_node_lets_everybody_in_at_once() -> None:
    bucket = Bucket(10.0, 100)
    assert [bucket.wait_seconds(second / 10) for second in range(100)] == [0.0] * 100


def test_turns_are_given_out_one_after_the_other_and_never_further_than_the_limit() -> None:
    bucket = Bucket(1.0, 100)
    assert bucket.wait_seconds(0.0) == 0.0
    waits = [bucket.wait_seconds(0.0) for _ in range(40)]
    assert waits[:3] == [1.0, 2.0, 3.0]
    assert max(waits) == RETRY_SECONDS


def test_a_node_that_takes_less_than_one_a_second_takes_one_now_and_then() -> None:
    bucket = Bucket(0.1, 100)
    assert bucket.wait_seconds(0.0) == 0.0
    assert bucket.wait_seconds(0.0) == pytest.approx(10.0)
    assert bucket.wait_seconds(10.0) == 0.0
