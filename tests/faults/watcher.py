"""Watches a team's machines as a picker does, and keeps every state that it was told of."""

from __future__ import annotations

import time

from relay.client.connection import Connection
from relay.client.subscription import Subscription, follow
from relay.rules.browser_messages import MachineChanged, Snapshot
from relay.rules.machine import Machine
from relay.rules.messages import Message
from tests.faults.checker import Told


class Watcher:
    """Everything that one browser was told of a workspace's machines."""

    def __init__(self, connection: Connection, workspace: str) -> None:
        self.told: list[Told] = []
        self.pictures: Subscription = follow(connection, workspace)
        self._last: dict[str, tuple[str, bool]] = {}
        original = self.pictures.on_message

        def on_message(message: Message) -> None:
            match message:
                case MachineChanged():
                    self._note(message.machine)
                case Snapshot():
                    for machine in message.machines:
                        self._note(machine)
            original(message)

        self.pictures.on_message = on_message  # type: ignore[method-assign]

    def _note(self, machine: Machine) -> None:
        """Note a change of state; that nothing changed is no news, and a run of hours would be full of it."""
        state = (machine.state, machine.connected)
        if self._last.get(machine.id) != state:
            self._last[machine.id] = state
            self.told.append(Told(time.monotonic(), machine.id, *state))
