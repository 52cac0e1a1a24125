"""Keeps who on this node gets the frames of one session, and acts on what its agent says to one of them."""

from __future__ import annotations

from relay.node.browser import Attachment, Reason
from relay.rules.agent_messages import AttachRefused, Behind
from relay.rules.browser_messages import BrowserAttaching
from relay.rules.messages import Attached, Attaching, InputRefused

Told = Attaching | AttachRefused | Attached | Behind | InputRefused  # what an agent says to one attachment


class Audience:
    """The attachments of this node to one session: those that catch up, and those that take what everybody gets."""

    __slots__ = ("due", "due_bytes", "due_frames", "group", "pending")

    def __init__(self) -> None:
        self.pending: dict[int, Attachment] = {}
        self.group: dict[int, Attachment] = {}
        self.due: list[bytes] = []  # frames for the group that wait for the end of this tick; `Fanout` sends them
        self.due_bytes = 0
        self.due_frames = 0

    def take(self) -> bytes:
        """What is due, joined; nothing is due then."""
        due, self.due, self.due_bytes, self.due_frames = self.due, [], 0, 0
        return due[0] if len(due) == 1 else b"".join(due)

    def find(self, number: int) -> Attachment | None:
        """The attachment of that number in either state."""
        return self.group.get(number) or self.pending.get(number)

    def join(self, number: int) -> None:
        """Move an attachment that has caught up to the group."""
        attachment = self.pending.pop(number, None)
        if attachment is not None:
            self.group[number] = attachment

    def leave(self, number: int) -> Attachment | None:
        """Take an attachment out."""
        return self.pending.pop(number, None) or self.group.pop(number, None)

    def hear(self, message: Told) -> None:
        """Act on what the agent says to one attachment, in stream order, and pass it on to the browser."""
        attachment = self.find(message.attachment)
        if attachment is None:
            return
        match message:
            case Attaching():
                attachment.browser.outcomes.attached(message.recovered if attachment.ask.after is not None else None)
                attachment.answered = True
                attachment.span.end()
                fields = {name: getattr(message, name) for name in Attaching.__struct_fields__}
                attachment.tell(BrowserAttaching(ref=attachment.ask.ref, machine=attachment.machine, **fields))
            case AttachRefused():
                self.leave(message.attachment)
                attachment.refuse(message)
            case Attached():
                self.join(message.attachment)
                attachment.tell(message)
            case Behind():
                self.leave(message.attachment)
                attachment.end("behind")
            case InputRefused():
                attachment.tell(message)

    def dismiss(self, reason: Reason) -> None:
        """End every attachment."""
        for attachment in self.all():
            self.leave(attachment.number)
            attachment.end(reason)

    def all(self) -> list[Attachment]:
        """Everybody, as a list that stays still while they leave."""
        return [*self.pending.values(), *self.group.values()]
