"""Describes one REST call; the router serves these rows and the OpenAPI document is written from them."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from relay import errors
from relay.errors import RelayError
from relay.rules import access
from relay.rules.access import Identity
from relay.web.addresses import Addresses
from relay.web.parts import Parts

Method = Literal["GET", "POST", "PATCH", "DELETE"]
Asker = Literal["anybody", "signed-in", "person"]
WRITES = frozenset({"POST", "PATCH", "DELETE"})


class Ask:
    """One request on its way through a handler: who asks, and what, decoded and checked."""

    __slots__ = ("_identity", "body", "carried", "parts", "query", "request")

    def __init__(
        self, parts: Parts, request: Request, identity: Identity | None, body: Any, query: Any, carried: str = ""
    ) -> None:
        self.parts = parts
        self.request = request
        self.body = body
        self.query = query
        self.carried = carried  # the trace that this is a step of, for whoever is asked in turn
        self._identity = identity

    @property
    def identity(self) -> Identity:
        """Who asks; only calls that anybody may make have nobody here."""
        assert self._identity is not None, "this call takes anybody and must not ask who it is"
        return self._identity

    @property
    def person(self) -> str:
        """The id of the person who asks; calls for persons only have checked that there is one."""
        person = self.identity.person
        assert person is not None, "only a call for persons may ask for one"
        return person

    @property
    def address(self) -> str:
        """Where the request comes from, for limits that count by client."""
        return Addresses(self.parts.settings.trusted_proxies).client(self.request.scope)

    def id(self, name: str) -> str:
        """An id from the path, canonical; raises `NotFound` for a text that cannot be anybody's id."""
        text = str(self.request.path_params[name])
        try:
            found = str(uuid.UUID(text))
        except ValueError:
            raise nothing() from None
        if found != text.lower():
            raise nothing()
        return found

    def allowed(self, action: access.Action, workspace: str) -> None:
        """Raises `NotFound` to strangers of the workspace and `Forbidden` to members whose role is too small."""
        if workspace not in self.identity.roles:
            raise nothing()
        if not access.may(self.identity, action, workspace):
            raise errors.Forbidden("your role in this workspace does not allow this")


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One method on one path: what it takes, what it answers, and whom it serves."""

    method: Method
    path: str
    does: str  # one sentence, shown in the document
    handle: Callable[[Ask], Awaitable[Response]]
    answer: type[Struct] | None
    body: type[Struct] | None = None
    query: type[Struct] | None = None
    errors: tuple[type[RelayError], ...] = ()
    asker: Asker = "signed-in"
    statuses: tuple[int, ...] = (200,)
    changes: bool = False  # it writes to the registry what other nodes must know of

    @property
    def name(self) -> str:
        """The operation's id in the document and its label in metrics."""
        return self.handle.__name__

    def all_errors(self) -> tuple[type[RelayError], ...]:
        """The errors of this call and those that come with what it takes."""
        found: list[type[RelayError]] = [*self.errors, errors.UnknownHost, RelayError]
        found += [errors.Unavailable, errors.RegistryUnavailable]
        if self.asker != "anybody":
            found += [errors.BadToken, errors.LimitReached]
        if self.asker == "person" or self.method in WRITES:
            found.append(errors.Forbidden)
        if self.body or self.query:
            found.append(errors.Invalid)
        if self.body:
            found += [errors.TooBig, errors.UnsupportedMedia]
        if "{" in self.path:
            found.append(errors.NotFound)
        return tuple(dict.fromkeys(found))


def nothing() -> errors.NotFound:
    """The one answer for ids that are unknown, foreign, invisible or malformed; it never repeats the id."""
    return errors.NotFound("there is nothing here that you may see")
