"""Counts the session frames through a node, and their bytes, in plain numbers on the path of every frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from relay.rules import metrics
from relay.rules.metric import Metric


class Traffic:
    """What came from and went to agents and browsers here, and other nodes. To add to a number costs some 30 ns, and is
    done once for what goes to everybody attached; nothing that is told here is asked for before somebody looks."""

    __slots__ = (
        "agent_in", "agent_in_bytes", "agent_out", "agent_out_bytes",
        "browser_in", "browser_in_bytes", "browser_out", "browser_out_bytes",
        "node_in", "node_in_bytes", "node_out", "node_out_bytes",
    )  # fmt: skip

    def __init__(self) -> None:
        for name in self.__slots__:
            setattr(self, name, 0)

    agent_in: int
    agent_in_bytes: int
    agent_out: int
    agent_out_bytes: int
    browser_in: int
    browser_in_bytes: int
    browser_out: int
    browser_out_bytes: int
    node_in: int
    node_in_bytes: int
    node_out: int
    node_out_bytes: int

    @property
    def frames(self) -> int:
        """Frames written to sockets of this node."""
        return self.agent_out + self.browser_out

    @property
    def bytes(self) -> int:
        """Their bytes."""
        return self.agent_out_bytes + self.browser_out_bytes

    def readings(self) -> Iterator[tuple[Metric, str, Callable[[], float]]]:
        """Each metric with its label and how to read it."""
        for peer in metrics.PEER.values:
            for metric, name in (
                (metrics.FRAMES_IN, f"{peer}_in"),
                (metrics.BYTES_IN, f"{peer}_in_bytes"),
                (metrics.FRAMES_OUT, f"{peer}_out"),
                (metrics.BYTES_OUT, f"{peer}_out_bytes"),
            ):
                yield metric, peer, lambda name=name: float(getattr(self, name))  # type: ignore[misc]
