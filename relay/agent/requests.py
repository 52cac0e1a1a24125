"""Answers what people ask of this machine: to open a session, to end one, to list them."""

from __future__ import annotations

import structlog
from msgspec import to_builtins

from relay.agent.history import History
from relay.agent.sessions import Opening, Sessions
from relay.errors import RelayError
from relay.rules import limits, messages
from relay.rules.agent_messages import Answer, Request
from relay.rules.fields import Id
from relay.rules.messages import Message, Session

LISTED_SESSIONS = 200  # what one list may name; more than anybody reads
OFFERED_SESSIONS = 50  # of those only in the history, the newest can then be attached to and read
LIST_BYTES = limits.CONTROL_BYTES - 4 * limits.KIB  # an answer is one control message


class Ending(Message, kw_only=True):
    """Which session to end."""

    session: Id


class Requests:
    """Turns each request into its answer; never raises, because the person at the other end must hear something."""

    def __init__(self, sessions: Sessions, history: History) -> None:
        self._sessions = sessions
        self._history = history

    async def answer(self, request: Request) -> Answer:
        """The answer to a request: a result, or an error with a code and a sentence."""
        name = f"agent {request.operation}"
        span = self._sessions.traces.follow(name, request.traceparent, operation=request.operation)
        failed = "left"  # unless it comes to an end: the agent does, before the answer
        try:
            result = await self._result(request)
            failed = ""
            return Answer(ref=request.ref, result=result)
        except RelayError as error:
            failed = error.code
            return Answer(ref=request.ref, error=error.body())
        except Exception:
            failed = "internal"
            structlog.get_logger().exception("request failed", operation=request.operation)
            return Answer(ref=request.ref, error={"code": "internal", "message": "internal error"})
        finally:
            span.end(failed)

    async def _result(self, request: Request) -> dict[str, object]:
        match request.operation:
            case "open":
                opened = await self._sessions.open(messages.checked(Opening, request.body), request.operator)
                return {"session": to_builtins(opened)}
            case "end":
                ended = await self._sessions.end(messages.checked(Ending, request.body).session)
                return {"session": to_builtins(ended)}
            case "sessions":
                return {"sessions": [to_builtins(session) for session in await self._list()]}

    async def _list(self) -> list[Session]:
        here = self._sessions.remembered()
        known = {session.id for session in here}
        before = [session for session in await self._history.sessions(LISTED_SESSIONS) if session.id not in known]
        self._sessions.offer(before[:OFFERED_SESSIONS])
        return fitting([*here, *before][:LISTED_SESSIONS], LIST_BYTES)


def fitting(sessions: list[Session], room_bytes: int) -> list[Session]:
    """As many of the first sessions as fit into a message with so much room."""
    taken = []
    for session in sessions:
        room_bytes -= len(messages.encode(session)) + 1
        if room_bytes < 0:
            break
        taken.append(session)
    return taken
