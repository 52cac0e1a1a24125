"""Takes what attachments type: each piece once and in order, only from who may, and acknowledged when it is taken."""

from __future__ import annotations

from relay.agent.audience import Audience, Viewer
from relay.agent.inputs import Inputs
from relay.agent.outlet import Outlet
from relay.agent.program import Program
from relay.agent.ring import Ring
from relay.rules import frames, ids, limits
from relay.rules.frames import Header, Kind
from relay.rules.messages import InputRefused

PENDING_BYTES = 2 * limits.INPUT_WINDOW_BYTES  # what a program has not taken: of this driver and of the one before


class Intake:
    """The way of input into one session's program. Without a program nothing more is taken."""

    def __init__(self, ring: Ring, audience: Audience, outlet: Outlet) -> None:
        self.program: Program | None = None
        self.inputs = Inputs()
        self._ring = ring
        self._audience = audience
        self._outlet = outlet
        self._joined: dict[str, list[int]] = {}  # by client: an acknowledgement that waits for no bytes of its own

    def fresh(self, viewer: Viewer, header: Header) -> bool:
        """Whether this is the next input of its client; one that came before is acknowledged again, and one that left
        others out is ignored, because the client sends all of them again, or none."""
        verdict = self.inputs.judge(viewer.ask.client, header.sequence)
        if verdict == "duplicate":
            self._take(viewer.ask.client, header.sequence, b"")
        return verdict == "apply"

    def type(self, viewer: Viewer, header: Header, payload: bytes, *, may: bool) -> None:
        """Give the program what was typed, or refuse it; a refused number stays free, so that the client can number on
        from there."""
        reason = self._refusal(len(payload), may=may)
        if reason is not None:
            session = ids.text(self._ring.session)
            self._outlet.tell(
                InputRefused(session=session, attachment=viewer.number, sequence=header.sequence, reason=reason)
            )
            return
        self.note(viewer, header, payload if header.kind == Kind.INPUT else b"")
        if header.kind == Kind.END_INPUT and self.program is not None:
            self.program.end_input()

    def note(self, viewer: Viewer, header: Header, data: bytes = b"") -> None:
        """Count a fresh input as applied, and acknowledge it once the program has taken everything up to it."""
        self.inputs.apply(viewer.ask.client, header.sequence)
        self._take(viewer.ask.client, header.sequence, data)

    def _refusal(self, size: int, *, may: bool) -> str | None:
        if self.program is None:
            return "ended"
        if not may:
            return "not-driver"
        if self.program.unwritten_bytes + size > PENDING_BYTES:
            return "too-much-input"
        return None

    def _take(self, client: str, sequence: int, data: bytes) -> None:
        if self.program is None:
            self._acknowledge(client, sequence)
            return
        if data:
            self._joined.clear()
        elif client in self._joined:
            # What has no bytes is bounded by nothing else: a program that reads nothing must not gather these for ever.
            newest = self._joined[client]
            newest[0] = max(newest[0], sequence)
            return
        newest = [sequence]
        if not data:
            self._joined[client] = newest
        self.program.write(data, lambda: self._taken(client, newest))

    def _taken(self, client: str, newest: list[int]) -> None:
        if self._joined.get(client) is newest:
            del self._joined[client]
        self._acknowledge(client, newest[0])

    def _acknowledge(self, client: str, sequence: int) -> None:
        viewer = self._audience.newest_of(client)
        if viewer is not None:
            header = Header(Kind.ACK, 0, viewer.number, self._ring.epoch, self._ring.session, sequence)
            self._outlet.send(frames.pack(header))
