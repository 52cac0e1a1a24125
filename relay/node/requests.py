"""Asks machines on behalf of people: open, end and list sessions, through whichever node holds the agent."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any, Literal, NamedTuple, cast

import structlog

from relay.errors import RelayError, TimedOut, Unavailable, from_body
from relay.node import hops
from relay.node.agent import Agent, connection_of
from relay.node.calls import Calls
from relay.node.hub import Hub
from relay.node.lanes import Lanes
from relay.node.outcomes import code_of
from relay.rules.agent_messages import Answer, Request
from relay.rules.messages import Operator
from relay.rules.timing import REQUEST_SECONDS
from relay.traces import Span

Operation = Literal["open", "end", "sessions"]
Reply = Callable[[Answer], None]


class Question(NamedTuple):
    """What somebody asks of a machine."""

    machine: str
    operation: str
    operator: Operator
    body: dict[str, Any]


class Requests:
    """Numbers requests per agent connection, and fails them at once when that connection ends."""

    def __init__(self, hub: Hub, lanes: Lanes, calls: Calls) -> None:
        self._hub = hub
        self._lanes = lanes
        self._calls = calls
        self._refs = itertools.count(1)

    def begin(self, machine: str, operation: Operation, carried: str) -> Span:
        """The first step of a request in this cluster, of a trace that its asker named or of a new one."""
        return self._hub.traces.begin(f"request {operation}", carried, machine=machine, operation=operation)

    async def ask(
        self,
        machine: str,
        operation: Operation,
        operator: Operator,
        body: dict[str, Any],
        home_of: Callable[[], Awaitable[str]],
        span: Span | None = None,
    ) -> dict[str, Any]:
        """The machine's answer; `span` is what `begin` gave, for whoever needs it too. Raises what `home_of` raises,
        `Unavailable` within a second if its node does not take the request, `TimedOut` after 30 s, or the machine's own
        error."""
        began = asyncio.get_running_loop().time()
        question = Question(machine, operation, operator, body)
        span = span or self.begin(machine, operation, "")
        try:
            result = await self._ask(question, span.carried, home_of)
        except BaseException as error:
            self._ended(question, span, began, error)
            raise
        self._ended(question, span, began, None)
        return result

    def _ended(self, question: Question, span: Span, began: float, error: BaseException | None) -> None:
        """Tell how a request of this node went; one whose asker has left went nowhere."""
        seconds = asyncio.get_running_loop().time() - began
        span.end(code_of(error))
        if error is None or isinstance(error, Exception):
            self._hub.outcomes.requested(question.operation, seconds, error)
            structlog.get_logger().info(
                "a request is answered",
                trace=span.trace,
                operation=question.operation,
                machine=question.machine,
                outcome=code_of(error) or "done",
                seconds=round(seconds, 4),
            )

    async def _ask(self, question: Question, carried: str, home_of: Callable[[], Awaitable[str]]) -> dict[str, Any]:
        agent = self._hub.agents.get(question.machine)
        if agent is None:
            home = await home_of()
            agent = self._hub.agents.get(question.machine)
            if agent is None:
                return await self._ask_there(home, question, carried)
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        ref, span = self._pass_on(agent, question, carried, lambda answer: _settle(answered, answer))
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                answer = await answered
        except TimeoutError:
            raise TimedOut("the machine does not answer") from None
        finally:
            self._forget(agent, ref, span)
        if answer.error is not None:
            raise from_body(answer.error)
        return answer.result or {}

    async def _ask_there(self, home: str, question: Question, carried: str) -> dict[str, Any]:
        call = self._calls.begin(home)
        hop = hops.RequestHop(call=call, trace=carried, **question._asdict())
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

        def reply(answer: Answer) -> None:
            done = hops.AnswerHop(call=hop.call, result=answer.result, error=answer.error)
            self._lanes.send_hop(sender, done)

        question = Question(hop.machine, hop.operation, hop.operator, hop.body)
        ref, span = self._pass_on(agent, question, hop.trace, reply)
        asyncio.get_running_loop().call_later(REQUEST_SECONDS, self._forget, agent, ref, span)

    def _pass_on(self, agent: Agent, question: Question, carried: str, reply: Reply) -> tuple[int, Span]:
        """Ask an agent of this node, as a step of a request that began here or elsewhere."""
        ref, operation = next(self._refs), question.operation
        ids = {"machine": agent.machine, "workspace": agent.workspace, "connection": connection_of(agent)}
        span = self._hub.traces.begin(f"machine {operation}", carried, operation=operation, **ids)
        structlog.get_logger().info("a machine is asked", trace=span.trace, operation=operation, **ids)

        def answered(answer: Answer) -> None:
            span.end("" if answer.error is None else str(answer.error.get("code", "internal")))
            reply(answer)

        agent.requests[ref] = answered
        agent.send(Request(ref=ref, operation=cast(Operation, operation), operator=question.operator,
                             body=question.body, traceparent=span.carried))  # fmt: skip
        return ref, span

    def _forget(self, agent: Agent, ref: int, span: Span) -> None:
        """Nobody waits for the answer any more."""
        if agent.requests.pop(ref, None) is not None:
            span.end(TimedOut.code)

    def answered(self, agent: Agent, answer: Answer) -> None:
        """The agent answers; nobody waits for an answer that comes late."""
        reply = agent.requests.pop(answer.ref, None)
        if reply is not None:
            reply(answer)

    def agent_left(self, agent: Agent) -> None:
        """Fail everything that this connection has not answered."""
        lost: RelayError = Unavailable("the machine's connection was lost before it answered")
        for ref, reply in list(agent.requests.items()):
            reply(Answer(ref=ref, error=lost.body()))
        agent.requests.clear()


def _settle(future: asyncio.Future[Answer], answer: Answer) -> None:
    if not future.done():
        future.set_result(answer)
