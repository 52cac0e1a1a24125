"""Names what sessions need of a connection, and leads what they say to the connection of the moment."""

from __future__ import annotations

from typing import Protocol

from relay.rules.messages import Message


class Outlet(Protocol):
    """Takes what goes to the relay, in order, without waiting."""

    @property
    def pressed(self) -> bool:
        """Whether it is so full that what can wait should."""

    def send(self, frame: bytes) -> None:
        """Queue a ready frame."""

    def tell(self, message: Message) -> None:
        """Queue a control message."""


class Switch:
    """An outlet that stays while connections come and go. Without one it drops everything: whoever returns asks for
    exactly what is missing."""

    def __init__(self) -> None:
        self.current: Outlet | None = None

    @property
    def pressed(self) -> bool:
        """Whether the connection is full."""
        return self.current is not None and self.current.pressed

    def send(self, frame: bytes) -> None:
        """Queue a ready frame."""
        if self.current is not None:
            self.current.send(frame)

    def tell(self, message: Message) -> None:
        """Queue a control message."""
        if self.current is not None:
            self.current.tell(message)
