"""Measures deliveries per CPU-second of all servers, for one publisher or many, on one node or two."""

from __future__ import annotations

from dataclasses import dataclass

from loadtests.bench import usage
from loadtests.bench.contender import Contender
from loadtests.bench.rows import Row, Void
from loadtests.bench.traffic import Traffic

WARM_SECONDS = 0.5  # until code is compiled, buffers have grown and both ends are busy
DELIVERIES_UNIT = "deliveries per CPU-second"


@dataclass(frozen=True)
class Fanout:
    """One way of publishing 128-byte payloads. `in_flight`: how far a publisher may be ahead of its slowest receiver,
    in frames; `burst`: frames in one write."""

    row: Row
    nodes: int
    publishers: int
    receivers: int
    in_flight: int
    burst: int = 1

    async def measure(self, contender: Contender, seconds: float) -> float:
        """Deliveries per CPU-second of the contender's servers between two moments of steady load. Raises `Void` when
        one delivery of all was lost, repeated, out of order or changed."""
        topics = await contender.topics(self.publishers, self.receivers, self.nodes)
        traffic = Traffic(topics, self.in_flight, self.burst)
        try:
            traffic.drive(WARM_SECONDS)
            delivered, used = traffic.delivered, usage.cpu_seconds(contender.pids)
            traffic.drive(seconds)
            delivered, used = traffic.delivered - delivered, usage.cpu_seconds(contender.pids) - used
            wrong = traffic.drain()
        except (ConnectionError, ProcessLookupError) as error:
            raise Void(str(error)) from None
        finally:
            traffic.close()
        if wrong is not None:
            raise Void(wrong)
        if not delivered:
            raise Void("nothing was delivered while it was measured")
        return delivered / used


def _row(name: str, what: str, goal: float | None, beside: tuple[str, float] | None = None) -> Row:
    return Row(name, what, DELIVERIES_UNIT, goal, "more", beside)


SOCKET_IO = ("socket.io", 3.0)  # the usual way to several nodes, through the same Redis


# On one node one frame at a time, so that nothing can be joined and the figure is the price of a lone frame; what
# joining saves is told by the bursts. Through two nodes the next frames leave while one is on its way, as they do.
FANOUTS = (
    Fanout(_row("one-to-50", "one node, 1 → 50, one in flight", 250_000), 1, 1, 50, 1),
    Fanout(_row("one-to-50-bursts", "one node, 1 → 50, 16 frames per write", 2_000_000), 1, 1, 50, 64, burst=16),
    Fanout(_row("hundred-by-3", "one node, 100 × 3, one in flight", 180_000), 1, 100, 3, 1),
    Fanout(_row("two-nodes-one-to-50", "two nodes, 1 → 50, 4 in flight", 390_000, SOCKET_IO), 2, 1, 50, 4),
    Fanout(_row("two-nodes-one-to-50-deep", "two nodes, 1 → 50, 32 in flight", None), 2, 1, 50, 32),
    Fanout(_row("two-nodes-50-by-4", "two nodes, 50 × 4, one in flight", 115_000, SOCKET_IO), 2, 50, 4, 1),
)
