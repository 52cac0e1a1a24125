"""Asks machines on behalf of people: open, end and list sessions, through whichever node holds the agent."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any, Literal

from relay.errors import RelayError, TimedOut, Unavailable, from_body
from relay.node import hops
from relay.node.calls import Calls
from relay.node.hub import Agent, Hub
from relay.node.lanes import Lanes
from relay.rules import messages as m
from relay.rules.timing import REQUEST_SECONDS

Operation = Literal["open", "end", "sessions"]
Reply = Callable[[m.Answer], None]


class Requests:
    """Numbers requests per agent connection, and fails them at once when that connection ends."""

    def __init__(self, hub: Hub, lanes: Lanes, calls: Calls) -> None:
        self._hub = hub
        self._lanes = lanes
        self._calls = calls
        self._refs = itertools.count(1)

    async def ask(
        self,
        machine: str,
        operation: Operation,
        operator: m.Operator,
        body: dict[str, Any],
        home_of: Callable[[], Awaitable[str]],
    ) -> dict[str, Any]:
        """The machine's answer. Raises what `home_of` raises, `Unavailable` within a second if its node does not take
        the request, `TimedOut` after 30 s, or the machine's own error."""
        clock, outcomes = asyncio.get_running_loop().time, self._hub.outcomes
        began = clock()
        try:
            result = await self._ask(machine, operation, operator, body, home_of)
        except Exception as error:
            outcomes.requested(operation, clock() - began, error)
            raise
        outcomes.requested(operation, clock() - began, None)
        return result

    async def _ask(
        self,
        machine: str,
        operation: Operation,
        operator: m.Operator,
        body: dict[str, Any],
        home_of: Callable[[], Awaitable[str]],
    ) -> dict[str, Any]:
        agent = self._hub.agents.get(machine)
        if agent is None:
            home = await home_of()
            agent = self._hub.agents.get(machine)
            if agent is None:
                return await self._ask_there(home, machine, operation, operator, body)
        answered: asyncio.Future[m.Answer] = asyncio.get_running_loop().create_future()
        ref = self._pass_on(agent, operation, operator, body, lambda answer: _settle(answered, answer))
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                answer = await answered
        except TimeoutError:
            raise TimedOut("the machine does not answer") from None
        finally:
            agent.requests.pop(ref, None)
        if answer.error is not None:
            raise from_body(answer.error)
        return answer.result or {}

    async def _ask_there(
        self, home: str, machine: str, operation: Operation, operator: m.Operator, body: dict[str, Any]
    ) -> dict[str, Any]:
        call = self._calls.begin(home)
        hop = hops.RequestHop(call=call, machine=machine, operation=operation, operator=operator, body=body)
        self._lanes.send_hop(home, hop)
        return await self._calls.outcome(call)

    def asked(self, sender: str, hop: hops.RequestHop) -> None:
        """Another node asks an agent of this one."""
        agent = self._hub.agents.get(hop.machine)
        if agent is None:
            error = Unavailable("this node does not hold the machine any more")
            self._lanes.send_hop(sender, hops.AnswerHop(call=hop.call, error=error.body()))
            return
        self._lanes.send_hop(sender, hops.TakenHop(call=hop.call))

        def reply(answer: m.Answer) -> None:
            done = hops.AnswerHop(call=hop.call, result=answer.result, error=answer.error)
            self._lanes.send_hop(sender, done)

        ref = self._pass_on(agent, hop.operation, hop.operator, hop.body, reply)
        asyncio.get_running_loop().call_later(REQUEST_SECONDS, agent.requests.pop, ref, None)

    def _pass_on(self, agent: Agent, operation: Any, operator: m.Operator, body: dict[str, Any], reply: Reply) -> int:
        ref = next(self._refs)
        agent.requests[ref] = reply
        agent.send(m.Request(ref=ref, operation=operation, operator=operator, body=body))
        return ref

    def answered(self, agent: Agent, answer: m.Answer) -> None:
        """The agent answers; nobody waits for an answer that comes late."""
        reply = agent.requests.pop(answer.ref, None)
        if reply is not None:
            reply(answer)

    def agent_left(self, agent: Agent) -> None:
        """Fail everything that this connection has not answered."""
        lost: RelayError = Unavailable("the machine's connection was lost before it answered")
        for ref, reply in list(agent.requests.items()):
            reply(m.Answer(ref=ref, error=lost.body()))
        agent.requests.clear()


def _settle(future: asyncio.Future[m.Answer], answer: m.Answer) -> None:
    if not future.done():
        future.set_result(answer)
