"""Counts what servers have to do, and says how much of a processor's time that is."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from loadtests.model.costs import MICROSECONDS, Costs

WAKES_OF_A_HANDSHAKE = 3  # the connection, the request, the hello


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How often everything happens, in a second or in a whole run."""

    agents: float = 0.0  # handshakes
    browsers: float = 0.0  # handshakes
    beats: float = 0.0
    pings: float = 0.0  # each answered
    incoming: float = 0.0  # frames that a peer sends, and reports of what was seen
    delivered: float = 0.0  # frames and events that a peer is sent
    crossed: float = 0.0  # of the incoming, those that also go to another node, each node counted
    listed: float = 0.0  # machines in lists and snapshots
    together: float = 0.0  # of the incoming, those that come with others and wake nobody for themselves
    crossed_together: float = 0.0  # of the crossed, the same
    scripts: float = 0.0  # of Redis, that find nothing to do
    attached: float = 0.0  # attachments that are made
    followed: float = 0.0  # teams that somebody at a node follows, for a second, each node counted
    followed_machines: float = 0.0  # machines of those
    scrapes: float = 0.0  # of a node's metrics
    starts: float = 0.0  # of a node

    def times(self, seconds: float) -> Counts:
        """So many seconds of the same."""
        return Counts(**{name: count * seconds for name, count in asdict(self).items()})

    def with_(self, **more: float) -> Counts:
        """The same with what happened once."""
        return replace(self, **more)

    def node_us(self, costs: Costs) -> float:
        """What nodes compute, if they never sleep."""
        return sum(self.parts(costs).values())

    def parts(self, costs: Costs) -> dict[str, float]:
        """The same by what it is for."""
        cost = {name: one.value for name, one in costs.items()}
        return {
            "handshakes": self.agents * cost["agent"] + self.browsers * cost["browser"],
            "beats": self.beats * cost["beat"],
            "pings": self.pings * (cost["heard"] + cost["delivery"]),
            "frames that come": self.incoming * cost["incoming"],
            "frames that go": self.delivered * cost["delivery"],
            "frames from node to node": self.crossed * (cost["crossing-sender"] + cost["crossing-receiver"]),
            "lists": self.listed * cost["listed"],
            "attaches": self.attached * cost["attach"],
            "reading the machines of followed teams again": self.followed * cost["follow"]
            + self.followed_machines * cost["follow-machine"],
            "Prometheus": self.scrapes * cost["scrape"],
            "starting": self.starts * cost["start"],
        }

    @property
    def wakes(self) -> float:
        """How often something comes to a node that may find it asleep."""
        return (
            (self.agents + self.browsers) * WAKES_OF_A_HANDSHAKE
            + self.beats
            + self.pings
            + self.incoming
            - self.together
            + self.crossed
            - self.crossed_together
        )

    def redis_us(self, costs: Costs) -> float:
        """What Redis computes."""
        cost = {name: one.value for name, one in costs.items()}
        return (
            self.agents * cost["agent-redis"]
            + self.beats * cost["beat-redis"]
            + self.crossed * cost["crossing-redis"]
            + self.scripts * cost["sweep-redis"]
            + self.followed_machines * cost["follow-machine-redis"]
        )

    @property
    def redis_wakes(self) -> float:
        """The same of Redis. Beats come in flushes of thousands, hellos of one moment share a script."""
        return self.crossed - self.crossed_together + self.scripts


def distinct(of: float, chosen: float) -> float:
    """How many different ones are among so many that are each chosen at random."""
    return of * (1 - (1 - 1 / of) ** chosen) if of > 1 else min(1.0, chosen)


def cores(counts: Counts, costs: Costs, busy: float) -> float:
    """How many cores nodes need for these counts a second, each of them busy for this part of its time. A loop that is
    busy takes several things at one waking; what finds it asleep pays for the waking."""
    woken = counts.wakes * (1 - busy) * costs["wake"].value
    return (counts.node_us(costs) + woken) / MICROSECONDS / busy


def redis_cores(counts: Counts, costs: Costs, busy: float) -> float:
    """The same of Redis."""
    woken = counts.redis_wakes * (1 - busy) * costs["wake-redis"].value
    return (counts.redis_us(costs) + costs["redis-idle"].value + woken) / MICROSECONDS / busy


def nodes_used(counts: Counts, costs: Costs, core_seconds: float) -> float:
    """Processor seconds that nodes use for these counts in a run, when they had so many."""
    return _used(counts.node_us(costs), counts.wakes * costs["wake"].value, costs["node-idle"].value, core_seconds)


def redis_used(counts: Counts, costs: Costs, core_seconds: float) -> float:
    """The same of Redis."""
    woken = counts.redis_wakes * costs["wake-redis"].value
    return _used(counts.redis_us(costs), woken, costs["redis-idle"].value, core_seconds)


def _used(work_us: float, woken_us: float, idle_us: float, core_seconds: float) -> float:
    """The busier a process is the less a waking matters, and how busy it is is what is asked: solved for that."""
    whole = core_seconds * MICROSECONDS
    return (work_us + idle_us * core_seconds + woken_us) / (whole + woken_us) * core_seconds
