"""Answers who is signed in and where the cluster listens, and makes tickets for browser sockets."""

from __future__ import annotations

from typing import Literal

from starlette.responses import Response

from relay.rules import timing, tokens
from relay.rules.fields import Id
from relay.rules.machine import iso
from relay.web.answers import Membership, memberships
from relay.web.auth import COOKIE, bearer_token
from relay.web.bodies import Answer, Moment, answer
from relay.web.call import Ask, Call


class Caller(Answer):
    """Who asks: a person, or a workspace key under its name."""

    kind: Literal["person", "key"]
    id: Id
    name: str


class Me(Answer):
    """Who asks, where they belong, and the URLs of the live nodes."""

    user: Caller
    workspaces: list[Membership]
    nodes: list[str]


class Ticket(Answer):
    """A ticket for one browser socket."""

    ticket: str
    expires_at: Moment


async def get_me(ask: Ask) -> Response:
    """Who asks."""
    who = ask.identity
    caller = Caller(kind=who.kind, id=who.id, name=who.name)
    return answer(Me(user=caller, workspaces=memberships(who), nodes=ask.parts.nodes()))


async def create_ticket(ask: Ask) -> Response:
    """A ticket that stands for the asker's own credential, by its hash."""
    parts = ask.parts
    token = bearer_token(ask.request.headers) or ask.request.cookies[COOKIE]
    ticket = tokens.make("tick", parts.randomness(tokens.RANDOM_BYTES))
    await parts.tickets.issue(ticket, parts.authenticator.claim(token))
    expires_ms = parts.clock() + int(timing.TICKET_SECONDS * 1000)
    return answer(Ticket(ticket=ticket, expires_at=iso(expires_ms)), 201)


CALLS = (
    Call(
        method="GET",
        path="/api/me",
        does="Tells who you are, your workspaces and roles, and where the cluster's nodes listen.",
        handle=get_me,
        answer=Me,
    ),
    Call(
        method="POST",
        path="/api/tickets",
        does="Makes a ticket for one browser socket that has neither cookie nor header; good once, for 30 seconds.",
        handle=create_ticket,
        answer=Ticket,
        statuses=(201,),
    ),
)
