"""Remembers for each client how far its input was applied, so that what it sends again is applied once."""

from __future__ import annotations

from relay.rules import limits, timing
from relay.rules.resume import InputStream, Verdict, judge


class Inputs:
    """The input streams of one session, by client; a stream is forgotten some minutes after its client left."""

    def __init__(self) -> None:
        self._streams: dict[str, InputStream] = {}
        self._left: dict[str, float] = {}  # monotonic seconds, in the order in which they left

    def __len__(self) -> int:
        return len(self._streams)

    def joined(self, client: str) -> int:
        """A client attached; the last input of its that was applied."""
        self._left.pop(client, None)
        return self._streams.setdefault(client, InputStream()).last

    def left(self, client: str, now: float) -> None:
        """A client has no attachment any more; its stream stays for a while; of too many the oldest goes."""
        self._left.pop(client, None)
        self._left[client] = now
        while len(self._left) > limits.ATTACHMENTS_PER_SESSION:
            self._forget(next(iter(self._left)))

    def judge(self, client: str, number: int) -> Verdict:
        """What this number means, changing nothing."""
        return judge(self._streams[client].last, number)

    def apply(self, client: str, number: int) -> Verdict:
        """The same, and `apply` counts it as applied."""
        return self._streams[client].apply(number)

    def expire(self, now: float) -> None:
        """Forget those who left long ago."""
        while self._left:
            client, since = next(iter(self._left.items()))
            if now - since <= timing.INPUT_KEPT_SECONDS:
                return
            self._forget(client)

    def _forget(self, client: str) -> None:
        del self._left[client]
        del self._streams[client]
