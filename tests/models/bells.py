"""Hears what Redis itself publishes, at the very moment when the story asks."""

from __future__ import annotations

from typing import Any, cast

from redis import Redis

from tests.support.valkey import Valkey

MARK = "heard"


class Bells:
    """A subscription to one shard's events. What a script has published is heard by whoever asks after it ran."""

    def __init__(self, valkey: Valkey, channel: str) -> None:
        self._client = Redis(unix_socket_path=str(valkey.socket), protocol=2)
        self._line: Any = cast("Any", self._client.connection_pool.get_connection())
        self._line.send_command("SSUBSCRIBE", channel)
        self._line.read_response()

    def rung(self) -> list[bytes]:
        """Everything published since this was asked before."""
        self._line.send_command("PING", MARK)
        found: list[bytes] = []
        while True:
            answer = self._line.read_response()
            if answer == [b"pong", MARK.encode()]:
                return found
            found.append(answer[2])

    def close(self) -> None:
        """Hear nothing more."""
        self._client.connection_pool.disconnect()
        self._client.close()
