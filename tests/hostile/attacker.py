"""Plays a machine whose agent means harm, and comes back after each thing that it tried."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.bare import Bare, BareMachine, bare
from tests.support.cluster import Team


class Attacker(BareMachine):
    """A registered machine that connects as one installation does: it knows what it was last told."""

    def __init__(self, team: Team) -> None:
        super().__init__(team, "hostile")
        self.absent = BareMachine(team, "absent").id  # a machine of the same workspace, which never comes
        self._generation = 0

    @contextmanager
    def agent(self, url: str, *sessions: dict[str, Any]) -> Iterator[Bare]:
        """Its agent, welcomed."""
        with bare(url, "/ws/agent", self.token) as agent:
            agent.say(**self.hello(*sessions, generation=self._generation))
            self._generation = agent.hears("welcome")["generation"]
            yield agent
