"""Says in plain Python what a cluster should show: who is online, who is revoked, whose connection is whose."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

State = Literal["live", "degraded", "offline"]
Verdict = Literal["admitted", "revoked", "replaced", "rate-limited"]

LIVE, OFFLINE, DROPPED, QUIET, STALE, UNSETTLED, CONTEST_WINDOW, CONTESTS = 30, 90, 10, 7.5, 15, 30, 300, 3
HANDSHAKES = {"revoked": 4001, "replaced": 4004, "rate-limited": 4100}


@dataclass
class Presence:
    """What the cluster remembers of a machine that said hello; times in seconds."""

    version: int
    generation: int
    connection: object
    node: str
    heard: int
    deadline: int
    connected: bool = True
    gone: str | None = None  # said goodbye, or was announced offline

    def is_newer_than(self, other: Presence) -> bool:
        """By token version, then by generation."""
        return (self.version, self.generation) > (other.version, other.generation)


@dataclass
class Row:
    """What is kept of a machine whatever else is lost."""

    owner: str | None
    visibility: str
    version: int = 0  # of the latest registration
    settled: int = 0  # of the latest that said hello
    seen: bool = False
    told_offline: bool = False  # by a sweeper
    revoked: bool = False
    generation: int = 0  # the highest ever handed out


@dataclass
class Model:
    """The whole cluster. Nodes and connections are whatever the story calls them."""

    now: int = 0
    rows: dict[str, Row] = field(default_factory=dict)
    presence: dict[str, Presence] = field(default_factory=dict)
    contests: dict[str, list[int]] = field(default_factory=dict)
    flushed: int | None = None
    settled_from: int = 0

    def settled(self) -> bool:
        """Whether silence proves anything."""
        return self.flushed is not None and self.now - self.flushed <= QUIET and self.now >= self.settled_from

    def flush(self) -> None:
        """Some node told Redis whom it heard."""
        if self.flushed is None or self.now - self.flushed > STALE:
            self.settled_from = self.now + UNSETTLED
        elif self.now - self.flushed > QUIET:
            self.settled_from = max(self.settled_from, self.now + DROPPED)
        self.flushed = self.now

    def forget_everything(self) -> None:
        """Redis lost its memory."""
        self.presence.clear()
        self.contests.clear()
        self.flushed = None

    # --- machines ----------------------------------------------------------------------------------------------

    def judges(self, machine: str, version: int, known: int, connection: object) -> Verdict:
        """What a hello is answered; one that contests a machine which somebody holds is counted."""
        stored = self.presence.get(machine)
        if self.rows[machine].revoked:
            return "revoked"
        if version < max(self.rows[machine].settled, stored.version if stored is not None else 0):
            return "replaced"
        held = stored is not None and stored.connected and stored.deadline >= self.now
        if held and stored is not None and stored.generation != known:
            times = [at for at in self.contests.get(machine, []) if self.now - at < CONTEST_WINDOW]
            if len(times) >= CONTESTS:
                return "rate-limited"
            self.contests[machine] = [*times, self.now]
        return "admitted"

    def admit(self, machine: str, version: int, generation: int, connection: object, node: str) -> Presence:
        """The machine is this connection's."""
        row = self.rows[machine]
        assert generation > row.generation, "a generation is never handed out twice"
        row.generation = generation
        if version > row.settled:
            row.settled, row.seen, row.told_offline = version, True, False
        mine = Presence(version, generation, connection, node, self.now, self.now + OFFLINE)
        self.presence[machine] = mine
        return replace(mine)

    def beat(self, machine: str, mine: Presence, heard: int) -> bool:
        """A flush with a beat of the connection admitted as `mine`; whether it still has the machine."""
        stored = self.presence.get(machine)
        if stored is not None and stored.connection is not mine.connection and not mine.is_newer_than(stored):
            return False
        if stored is None or stored.connection is not mine.connection:
            stored = self.presence[machine] = replace(mine, connected=True, gone=None)
        elif stored.gone == "closed" or (stored.gone == "swept" and heard + OFFLINE < self.now):
            return True
        stored.heard, stored.deadline, stored.connected, stored.gone = heard, heard + OFFLINE, True, None
        return True

    def drop(self, machine: str, connection: object, heard: int) -> None:
        """A connection was seen to break, on which nothing had come since `heard`."""
        stored = self.presence.get(machine)
        if stored is not None and stored.connection is connection and stored.connected:
            stored.connected, stored.heard = False, max(stored.heard, heard)
            stored.deadline = min(self.now + DROPPED, stored.heard + OFFLINE)

    def goodbye(self, machine: str, connection: object) -> None:
        """An agent left on purpose."""
        stored = self.presence.get(machine)
        if stored is not None and stored.connection is connection and stored.gone != "closed":
            stored.connected, stored.gone, stored.heard, stored.deadline = False, "closed", self.now, self.now

    def revoke(self, machine: str) -> None:
        """For good."""
        self.rows[machine].revoked = True
        self.presence.pop(machine, None)

    def sweep(self) -> None:
        """A sweeper made its round."""
        if not self.settled():
            return
        for machine, row in self.rows.items():
            stored = self.presence.get(machine)
            if stored is None:
                row.told_offline = row.told_offline or row.seen
                continue
            if stored.gone is None and stored.deadline < self.now:
                stored.gone, stored.connected = "swept", False
            row.told_offline = stored.gone is not None

    # --- what everybody is to see ------------------------------------------------------------------------------

    def state(self, machine: str) -> State:
        """The band."""
        row, stored = self.rows[machine], self.presence.get(machine)
        believed = self.settled() or row.told_offline or not row.seen
        if stored is None:
            return "offline" if believed else "degraded"
        if stored.gone == "closed":
            return "offline"
        if self.now > stored.deadline:
            return "offline" if believed else "degraded"
        return "live" if stored.connected and self.now - stored.heard <= LIVE else "degraded"

    def sees(self, person: str, machine: str) -> bool:
        """Whether the machine exists for somebody."""
        row = self.rows[machine]
        return not row.revoked and (row.visibility == "SHARED" or row.owner == person)
