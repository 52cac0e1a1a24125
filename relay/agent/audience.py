"""Brings one session's output to its attachments: replays to those who return, then lets the common frames apply."""

from __future__ import annotations

from collections.abc import Callable

from relay.agent.outlet import Outlet
from relay.agent.ring import Ring, addressed
from relay.rules import limits
from relay.rules.agent_messages import AgentAttach, Behind
from relay.rules.messages import Attached


class Viewer:
    """One attachment: what it was sent and what it has seen."""

    __slots__ = ("ask", "following", "seen", "seen_at", "sent", "sent_at", "size")

    def __init__(self, ask: AgentAttach, seen: int, position: int) -> None:
        self.ask = ask
        self.following = False  # frames for everybody apply to it
        self.sent = self.seen = seen
        self.sent_at = self.seen_at = position  # the same two as positions in bytes
        self.size = (ask.columns, ask.rows) if ask.columns and ask.rows else None

    @property
    def number(self) -> int:
        """Its attachment number on this connection."""
        return self.ask.attachment


class Audience:
    """All attachments of one session. The one sequencer of its output: all of it is sent from here."""

    def __init__(self, session: str, ring: Ring, outlet: Outlet, detached: Callable[[Viewer], None]) -> None:
        self._session = session
        self._ring = ring
        self._outlet = outlet
        self._detached = detached  # hears of those who fell behind
        self._viewers: dict[int, Viewer] = {}
        self._followers = 0
        self._checked_at = ring.end  # where it was last looked for those who fell behind
        self.exempt = 0  # the driver's attachment: it stalls the source instead of being detached

    def __len__(self) -> int:
        return len(self._viewers)

    def find(self, number: int) -> Viewer | None:
        """The attachment of that number."""
        return self._viewers.get(number)

    def newest_of(self, client: str) -> Viewer | None:
        """The latest attachment of a client: numbers may be reused, so the order of arrival decides."""
        return next((viewer for viewer in reversed(self._viewers.values()) if viewer.ask.client == client), None)

    def all(self) -> list[Viewer]:
        """Everybody, as a list that stays still while they leave."""
        return list(self._viewers.values())

    def join(self, ask: AgentAttach, first: int) -> Viewer:
        """Take an attachment that wants frames from `first` on; `replay` must follow, after it was told `attaching`."""
        position = self._ring.position(first - 1)
        assert position is not None, f"frame {first} is neither kept nor next"
        self.leave(ask.attachment)
        viewer = self._viewers[ask.attachment] = Viewer(ask, first - 1, position)
        return viewer

    def leave(self, number: int) -> Viewer | None:
        """Take an attachment out."""
        viewer = self._viewers.pop(number, None)
        if viewer is not None and viewer.following:
            self._followers -= 1
        return viewer

    def publish(self, frame: bytes) -> None:
        """Send the ring's newest frame to everybody who has all before it."""
        if self._followers:
            self._outlet.send(frame)
        if self._viewers and self._ring.end - self._checked_at >= limits.CHUNK_BYTES:
            self._detach_those_behind()

    def saw(self, number: int, sequence: int) -> bool:
        """An attachment has handed everything up to `sequence` to its screen; says whether that was news."""
        viewer = self._viewers.get(number)
        if viewer is None:
            return False
        sequence = min(sequence, self._ring.head if viewer.following else viewer.sent)
        if sequence <= viewer.seen:
            return False
        viewer.seen = sequence
        viewer.seen_at = self._ring.position(sequence) or viewer.seen_at
        if not viewer.following:
            self.replay(viewer)
        return True

    def replay(self, viewer: Viewer) -> None:
        """Send an attachment as much as may be under way to it; once it has everything, common frames apply."""
        ring = self._ring
        while viewer.sent < ring.head:
            if viewer.sent + 1 < ring.first:
                self._detach(viewer)
                return
            frame = ring.frame(viewer.sent + 1)
            under_way = viewer.sent_at - viewer.seen_at
            if under_way and under_way + len(frame) > limits.REPLAY_WINDOW_BYTES:
                return
            if self._outlet.pressed:
                return  # many return at once after a node was lost: together they must not overflow the connection
            self._outlet.send(addressed(frame, viewer.number))
            viewer.sent += 1
            viewer.sent_at += len(frame)
        # Nothing may come in between: the node moves the attachment to the group when it reads this, in stream order.
        self._outlet.tell(Attached(session=self._session, attachment=viewer.number, head=ring.head))
        viewer.following = True
        self._followers += 1

    def replay_on(self) -> None:
        """Go on with the replays that waited for the connection."""
        for viewer in self.all():
            if not viewer.following:
                self.replay(viewer)

    def _detach_those_behind(self) -> None:
        self._checked_at = self._ring.end
        for viewer in self.all():
            if viewer.following:
                far = self._ring.end - viewer.seen_at > limits.WATCHER_WINDOW_BYTES
                if far and viewer.number != self.exempt:
                    self._detach(viewer)
            elif viewer.sent + 1 < self._ring.first:
                self._detach(viewer)

    def _detach(self, viewer: Viewer) -> None:
        self.leave(viewer.number)
        self._outlet.tell(Behind(session=self._session, attachment=viewer.number))
        self._detached(viewer)
