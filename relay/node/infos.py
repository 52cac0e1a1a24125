"""Keeps what everybody is shown of each agent here: its version, its sessions, and who is on."""

from __future__ import annotations

from relay.node.agent import Agent
from relay.node.route import Holder, Route
from relay.node.strands import Strands
from relay.rules.machine import iso
from relay.rules.presence import ActiveSession, Info
from relay.store import Presence

GATHER_SECONDS = 0.2  # people come and go in bursts, and one picture of the result is enough
RETRY_SECONDS = 2.0  # Redis did not answer


def info_of(agent: Agent) -> Info:
    """What is shown of an agent; the active session is the one that somebody has been attached to the longest."""
    live = [route for route in agent.sessions.values() if route.described.ended_at is None]
    longest: tuple[Route, Holder] | None = None
    for route in live:
        for holder in route.holders.values():
            if longest is None or holder.since_ms < longest[1].since_ms:
                longest = (route, holder)
    return Info(
        pid=agent.hello.pid,
        sessions=len(live),
        active=_active(*longest) if longest is not None else None,
        version=agent.hello.version,
        hostname=agent.hello.hostname,
    )


def _active(route: Route, holder: Holder) -> ActiveSession:
    return ActiveSession(
        session_id=route.described.id,
        started_at=iso(int(route.described.started_at * 1000)),
        operator={"user": holder.operator.user, "client": holder.operator.client},
    )


class Infos:
    """Tells Redis when the picture of an agent changed, soon but not for every step."""

    def __init__(self, presence: Presence) -> None:
        self._presence = presence
        self._strands: Strands[Agent] = Strands(
            "who is on",
            lambda agent: presence.shard(agent.workspace),
            self._tell,
            gather_seconds=GATHER_SECONDS,
            again_seconds=RETRY_SECONDS,
        )

    def changed(self, agent: Agent) -> None:
        """The picture of this agent is different now."""
        if agent.admitted:
            self._strands.add(agent)

    async def run(self) -> None:
        """Tell what changed until cancelled; what Redis did not take is told again."""
        await self._strands.run()

    async def _tell(self, agent: Agent) -> None:
        if agent.admitted and agent.fence is not None:
            await self._presence.describe(agent.workspace, agent.machine, agent.fence, info_of(agent))
