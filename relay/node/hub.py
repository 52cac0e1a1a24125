"""Holds one process's sockets and who is attached to what; dies with the process and is rebuilt by reconnects."""

from __future__ import annotations

from collections.abc import Iterator

from relay.node.agent import Agent
from relay.node.audience import Audience
from relay.node.browser import Attachment, Browser
from relay.node.outcomes import Outcomes
from relay.traces import Traces


class Away:
    """The attachments of this node to one session whose agent is on another node."""

    __slots__ = ("audience", "generation", "home")

    def __init__(self, home: str, generation: int) -> None:
        self.home = home
        self.generation = generation
        self.audience = Audience()


class Hub:
    """All connections of this process. An entry is made before it is checked, so that a change in between finds it."""

    def __init__(self) -> None:
        self.agents: dict[str, Agent] = {}  # admitted, by machine
        self.knocking: set[Agent] = set()  # said hello, not admitted yet
        self.browsers: set[Browser] = set()
        self.outcomes = Outcomes()
        self.traces = Traces()  # set once, where somebody records them
        self.away: dict[tuple[bytes, bytes], Away] = {}  # by machine and session; out of it only with `away_ended`
        self._away_sessions: dict[bytes, set[bytes]] = {}  # the same by machine, for each bell asks about a few

    def connections(self, machine: str) -> list[Agent]:
        """Every socket that speaks for a machine here, admitted or not."""
        found = [agent for agent in self.knocking if agent.machine == machine]
        admitted = self.agents.get(machine)
        return [*found, admitted] if admitted is not None else found

    def attachments(self) -> Iterator[Attachment]:
        """Every attachment of this node's browsers, admitted or still asking."""
        for browser in list(self.browsers):
            yield from list(browser.asking)
            yield from list(browser.attachments.values())

    def away_of(self, machine: bytes, session: bytes, home: str, generation: int) -> Away | None:
        """The entry of a session on another node, made when the first browser here attaches to it. None for a
        connection of its agent that a newer one, known here already, has replaced."""
        found = self.away.get((machine, session))
        if found is not None and found.generation > generation:
            return None
        if found is not None and found.home == home and found.generation == generation:
            return found
        if found is not None:
            found.audience.dismiss("gap")  # of a connection that has ended since
        made = self.away[machine, session] = Away(home, generation)
        self._away_sessions.setdefault(machine, set()).add(session)
        return made

    def away_sessions(self, machine: bytes) -> list[bytes]:
        """The sessions of a machine on another node that somebody here is attached to."""
        return list(self._away_sessions.get(machine, ()))

    def away_ended(self, machine: bytes, session: bytes) -> Away:
        """Take an entry out."""
        sessions = self._away_sessions[machine]
        sessions.remove(session)
        if not sessions:
            del self._away_sessions[machine]
        return self.away.pop((machine, session))
