"""Keeps an honest agent and an honest browser talking on the node that others attack."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.bare import Bare, BareMachine, a_session, attach, bare_browser, output


class Neighbours:
    """One session between two honest peers. Everything that is said in it must arrive once, in order, and nothing else
    may: whatever a hostile peer causes here is found by the next look."""

    def __init__(self, agent: Bare, browser: Bare, session: dict[str, Any]) -> None:
        self._agent = agent
        self._browser = browser
        self._session = session
        self._printed = 0
        self._heard = 0

    @classmethod
    @contextmanager
    def living(cls, machine: BareMachine, url: str) -> Iterator[Neighbours]:
        """Both connected to this node, and attached."""
        session = a_session()
        with machine.agent(url, session) as agent, bare_browser(url, machine.team.owner.token) as browser:
            attach(browser, agent, machine, session)
            yield cls(agent, browser, session)

    def prints(self) -> None:
        """One more frame on its way."""
        self._printed += 1
        self._agent.frame(output(self._session, self._printed), b"%d" % self._printed)

    def hears(self) -> None:
        """What was printed arrives as the very next thing, and then the answer to a question."""
        while self._heard < self._printed:
            said = self._browser.socket.recv(15)
            assert isinstance(said, bytes), f"the neighbour was told {said!r}"
            self._heard += 1
            assert said[32:] == b"%d" % self._heard
        self._browser.say(type="ping", at=self._printed)
        assert self._browser.hears("pong") == {"type": "pong", "at": self._printed}
