"""Describes a fleet and those who use it: what the model is asked about."""

from __future__ import annotations

from dataclasses import dataclass, fields

from relay.rules.limits import MACHINES_PER_WORKSPACE


class Impossible(Exception):
    """Why there is no such fleet, as a sentence."""


@dataclass(frozen=True)
class Fleet:
    """Everything that is assumed; the defaults are those of a fleet that people work on all day."""

    machines: int = 10_000
    browsers: int = 1_000
    sessions: int = 0  # that talk at the same time; 0: half as many as browsers
    watchers: float = 1.2  # attachments of each session
    frames: float = 4.0  # that a session says in a second: a build's log, not a waiting prompt
    frame_bytes: float = 256.0
    inputs: float = 1.0  # that are typed into a session in a second
    workspace_machines: int = 500  # of one workspace, in the mean
    changes: float = 4.0  # of a machine in an hour: it comes, goes, is renamed
    lists: float = 6.0  # that each browser's person, or their scripts, ask for in an hour
    zones: int = 3  # any one of them may be lost
    headroom: float = 0.5  # of every processor, left free while all zones are there
    scrape_seconds: float = 15.0  # between two times that Prometheus reads a node's metrics
    return_seconds: float = 30.0  # until everybody of a lost zone is back
    sockets: int = 20_000  # RELAY_SOCKETS of a node
    node_mib: float = 1024.0  # memory of a node's process
    redis_mib: float = 4096.0  # memory of one Redis
    proxy_sockets: int = 50_000  # connections of one proxy
    database_connections: int = 500  # PostgreSQL's max_connections; its own default is 100

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value < 0 or (value == 0 and field.name in POSITIVE):
                raise Impossible(f"--{field.name.replace('_', '-')}: more than 0")
        if self.headroom >= 1:
            raise Impossible("--headroom: a part of a processor, less than 1")
        if not 1 <= self.workspace_machines <= MACHINES_PER_WORKSPACE:
            raise Impossible(f"--workspace-machines: 1 to {MACHINES_PER_WORKSPACE:,}, which a workspace holds at most")

    @property
    def talking(self) -> float:
        """Sessions that talk."""
        return self.sessions or self.browsers / 2

    @property
    def connections(self) -> int:
        """Sockets of agents and browsers."""
        return self.machines + self.browsers


POSITIVE = frozenset(
    {"machines", "zones", "headroom", "return_seconds", "sockets", "node_mib", "redis_mib", "proxy_sockets",
     "database_connections", "workspace_machines",
     "scrape_seconds"}
)  # fmt: skip
