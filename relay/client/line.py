"""Sends what one attachment has to say: typed input, what was seen, and its own messages, under its current number."""

from __future__ import annotations

import asyncio

from relay.client.connection import Connection
from relay.client.input_stream import Entry
from relay.client.output_track import SeenMeter
from relay.rules import frames, ids, messages, timing
from relay.rules.browser_messages import Detach
from relay.rules.frames import Header, Kind
from relay.rules.messages import Message, Take


class Line:
    """The way out of one attachment; without a number nothing is sent, because a re-attach says it all again."""

    def __init__(self, connection: Connection, session: str) -> None:
        self.number: int | None = None  # of the attachment whose frames count now
        self.epoch = 0
        self._connection = connection
        self._session = session
        self._raw = ids.raw(session)
        self._meter = SeenMeter()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, number: int, epoch: int, first: int, *, continued: bool) -> None:
        """A new attachment, whose output begins with frame `first`."""
        self.number, self.epoch = number, epoch
        if self._meter.restart(first, continued=continued):
            self._report_soon()

    def send_input(self, entry: Entry) -> None:
        """Send one numbered input."""
        self._send(entry.kind, entry.sequence, entry.payload)

    def handed(self, sequence: int, size: int) -> None:
        """A frame is on the screen: report it at once if that is due, else soon."""
        if self._meter.handed(sequence, size):
            self.report_seen()
        else:
            self._report_soon()

    def report_seen(self) -> None:
        """Report what is on the screen, if anything new is."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        seen = self._meter.report() if self.number is not None else None
        if seen is not None:
            self._send(Kind.SEEN, seen)

    def take(self) -> None:
        """Ask for the keyboard."""
        if self.number is not None:
            self._post(Take(session=self._session, attachment=self.number))

    def detach(self, number: int | None) -> None:
        """Leave the attachment of this number, which need not be the current one."""
        if number is not None:
            self._post(Detach(session=self._session, attachment=number))

    def _report_soon(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(timing.SEEN_SECONDS, self.report_seen)

    def _send(self, kind: Kind, sequence: int, payload: bytes = b"") -> None:
        assert self.number is not None, "frames are sent by those who are attached"
        header = Header(kind, 0, self.number, self.epoch, self._raw, sequence)
        self._connection.post(frames.pack(header, payload))

    def _post(self, message: Message) -> None:
        self._connection.post(messages.encode(message).decode())
