"""Shows that a browser may stay for as long as its credential lasts, and no longer."""

from __future__ import annotations

from typing import Any, cast

from relay.errors import Close
from relay.node.browser import Browser
from relay.node.expiries import Expiries
from relay.node.hub import Hub
from relay.rules.access import Identity


class Socket:
    """Notes how it is closed."""

    def __init__(self) -> None:
        self.closed: list[Close] = []

    def close(self, code: Close) -> None:
        """Note the code."""
        self.closed.append(code)


def test_an_expired_credential_closes_its_socket_and_no_other() -> None:
    hub, now_ms = Hub(), 1_000
    expiries = Expiries(hub, lambda: now_ms)
    sockets = {}
    for ends_ms in (None, 2_000, 3_000):
        identity = Identity("person", "jane", "Jane", "token", {}, {}, ends_ms)
        sockets[ends_ms] = Socket()
        hub.browsers.add(Browser(cast(Any, sockets[ends_ms]), identity, "claim"))
    expiries.look()
    assert [socket.closed for socket in sockets.values()] == [[], [], []]
    now_ms = 2_000
    expiries.look()
    assert [socket.closed for socket in sockets.values()] == [[], [Close.BAD_TOKEN], []]
