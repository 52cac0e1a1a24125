"""Keeps one workspace's machines as a subscription tells them, and notices when a message is missing."""

from __future__ import annotations

from enum import Enum, auto

from relay.rules.browser_messages import LastSeen, MachineChanged, MachineGone, Snapshot
from relay.rules.machine import Machine

Change = Snapshot | MachineChanged | MachineGone | LastSeen


class Applied(Enum):
    """What a message did to the picture."""

    CHANGED = auto()
    PARTIAL = auto()  # one part of a snapshot; nothing to show before the last one
    OLD = auto()  # before the snapshot that we have, or while one is awaited
    GAP = auto()  # a message is missing: ask for a new snapshot


class Picture:
    """The machines of one workspace by id, as of the last message; nothing changes while a new snapshot is awaited."""

    def __init__(self) -> None:
        self.machines: dict[str, Machine] = {}
        self.settled = False
        self._seq: int | None = None
        self._coming: tuple[int, dict[str, Machine]] | None = None

    @property
    def whole(self) -> bool:
        """Whether a snapshot has been taken in and nothing is missing since."""
        return self._seq is not None

    def lose(self) -> None:
        """The subscription broke; what there is stays to be shown until the next snapshot."""
        self._seq = None
        self._coming = None

    def apply(self, change: Change) -> Applied:
        """Take one message in."""
        if isinstance(change, Snapshot):
            return self._snapshot(change)
        if self._seq is None or change.seq <= self._seq:
            return Applied.OLD
        if change.seq != self._seq + 1:
            self.lose()
            return Applied.GAP
        self._seq = change.seq
        match change:
            case MachineChanged():
                self.machines[change.machine.id] = change.machine
            case MachineGone():
                self.machines.pop(change.id, None)
            case LastSeen():
                for machine, at in change.at.items():
                    if machine in self.machines:
                        self.machines[machine].last_seen_at = at
        return Applied.CHANGED

    def _snapshot(self, part: Snapshot) -> Applied:
        if self._coming is None or self._coming[0] != part.seq:
            self._coming = (part.seq, {})
        coming = self._coming[1]
        coming.update((machine.id, machine) for machine in part.machines)
        if part.more:
            return Applied.PARTIAL
        self.machines, self.settled, self._seq, self._coming = coming, part.settled, part.seq, None
        return Applied.CHANGED
