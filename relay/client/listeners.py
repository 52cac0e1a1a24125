"""Knows who on a connection hears of which session or workspace."""

from __future__ import annotations

from typing import Protocol

from relay.errors import RelayError
from relay.rules import ids
from relay.rules.frames import Header
from relay.rules.messages import Message


class Listener(Protocol):
    """Somebody on a connection: told at once, in stream order, and never awaited."""

    def on_connected(self) -> None:
        """A node has welcomed us; nothing of the last socket is known there."""

    def on_lost(self, end: RelayError) -> None:
        """The socket is gone; the connection looks for another node, unless it has failed for good."""

    def on_frame(self, header: Header, frame: bytes) -> None:
        """A frame of the session that this listener named."""

    def on_message(self, message: Message) -> None:
        """A control message about the session or workspace that this listener named."""


class Listeners:
    """At most one listener for each id."""

    def __init__(self) -> None:
        self._by_id: dict[str, Listener] = {}
        self._by_raw: dict[bytes, Listener] = {}

    def add(self, id: str, listener: Listener) -> None:
        """Send everything about this id to this listener."""
        assert id not in self._by_id, f"{id} has a listener"
        self._by_id[id] = listener
        self._by_raw[ids.raw(id)] = listener

    def remove(self, id: str) -> None:
        """Send nothing about this id to anybody."""
        self._by_id.pop(id, None)
        self._by_raw.pop(ids.raw(id), None)

    def find(self, id: str) -> Listener | None:
        """Who listens to this id."""
        return self._by_id.get(id)

    def all(self) -> list[Listener]:
        """Everybody, as a list that stays still while they leave."""
        return list(self._by_id.values())

    def tell_frame(self, header: Header, frame: bytes) -> None:
        """Pass a frame to whoever named its session."""
        listener = self._by_raw.get(header.session)
        if listener is not None:
            listener.on_frame(header, frame)

    def tell_message(self, message: Message) -> None:
        """Pass a message to whoever named its session or workspace."""
        subject = getattr(message, "session", None) or getattr(message, "workspace", None)
        listener = self._by_id.get(subject) if subject is not None else None
        if listener is not None:
            listener.on_message(message)
