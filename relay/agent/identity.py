"""Keeps what the relay knows this installation by, in memory and in `machine.json`, written beside the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from relay.client.addresses import usable
from relay.client.profile import Enrolment, Profile
from relay.errors import RelayError
from relay.rules.agent_messages import AgentWelcome

KNOWN_NODES = 64  # addresses that a welcome may teach us


class Identity:
    """One installation's entry for one cluster; what is written last is always the newest."""

    def __init__(self, profile: Profile, enrolment: Enrolment) -> None:
        self.enrolment = enrolment
        self._profile = profile
        self._writing = asyncio.Lock()

    def welcomed(self, welcome: AgentWelcome) -> None:
        """Learn the generation, where else the cluster listens, and a newer token; `save` must follow."""
        token = welcome.machine_token or self.enrolment.machine_token
        self.enrolment = self.enrolment._replace(generation=welcome.generation, machine_token=token)
        self.learned(welcome.nodes)

    def learned(self, told: Sequence[str]) -> None:
        """Learn where the cluster listens; `save` must follow."""
        nodes = tuple(usable(told, self.enrolment.url)[:KNOWN_NODES]) or self.enrolment.nodes
        self.enrolment = self.enrolment._replace(nodes=nodes)

    async def save(self) -> None:
        """Write what is known now."""
        async with self._writing:
            try:
                await asyncio.to_thread(self._profile.save_enrolment, self.enrolment)
            except RelayError as error:
                # The generation matters only if the relay loses its memory: no reason to end a person's sessions.
                structlog.get_logger().error("what the relay said cannot be kept", why=error.message)

    async def revoked(self) -> None:
        """The registration was taken away: delete its token, and remember why there is none."""
        self.enrolment = self.enrolment._replace(machine_token=None, revoked=True)
        await self.save()

    async def forget(self) -> None:
        """The machine was removed on purpose: the next start is a new one."""
        async with self._writing:
            await asyncio.to_thread(self._profile.forget_enrolment, self.enrolment.url)
