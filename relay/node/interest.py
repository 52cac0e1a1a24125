"""Tells other nodes, again and again, which attachments to their agents live here: they let go of the others."""

from __future__ import annotations

from relay.node import hops
from relay.node.hub import Hub
from relay.node.lanes import Lanes
from relay.rules import ids

INTEREST_PART = 1_000  # attachments in one interest hop, about 100 KB of JSON, so that it fits a batch
# Attachments named in one second, 0.4 MB of the 2 MiB of control messages that a lane may have under way: all at once
# would pass that with 20,000 of them on one lane, and cost each of them a gap. So 40,000 are named in time.
INTEREST_AT_ONCE = 4_000


class Interest:
    """This node's interest in sessions of other nodes: a list for each of them, told in parts."""

    def __init__(self, hub: Hub, lanes: Lanes) -> None:
        self._hub = hub
        self._lanes = lanes
        self._untold: list[tuple[tuple[bytes, bytes], int]] = []  # of the last list, what is still to be told

    def homes(self) -> set[str]:
        """The other nodes whose agents this node's browsers are attached to."""
        return {away.home for away in self._hub.away.values()}

    def repeat(self) -> None:
        """Begin to tell each of those nodes which attachments live here, unless the last time is not over yet."""
        if not self._untold:
            self._untold = [
                (key, attachment.number) for key, away in self._hub.away.items() for attachment in away.audience.all()
            ]
        self.tell()

    def tell(self) -> None:
        """Tell some more of that, in parts; to be called each second."""
        some, self._untold = self._untold[:INTEREST_AT_ONCE], self._untold[INTEREST_AT_ONCE:]
        lists: dict[str, list[tuple[str, str, int, int]]] = {}
        for (machine, session), number in some:
            away = self._hub.away.get((machine, session))
            if away is not None and away.audience.find(number) is not None:  # else it left meanwhile
                named = (ids.text(machine), ids.text(session), number, away.generation)
                lists.setdefault(away.home, []).append(named)
        for home, entries in lists.items():
            for start in range(0, len(entries), INTEREST_PART):
                self._lanes.send_hop(home, hops.InterestHop(attachments=entries[start : start + INTEREST_PART]))
