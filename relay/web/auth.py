"""Finds out who is asking: credentials from headers and cookies, and a bounded memory of the identities found."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from relay.errors import BadToken, RegistryUnavailable
from relay.registry import Change
from relay.rules import tokens
from relay.rules.access import Identity
from relay.rules.tokens import Secrets
from relay.web.strangers import UNKNOWN, Source, Strangers, nowhere

COOKIE = "relay_session"
BEARER = "bearer "
REMEMBERED = 10_000  # identities; about 10 MiB, and more people than one node serves at once
REMEMBERED_MS = 60_000  # all that matters is told by the tail of changes, and an expiry is remembered with it
STANDS_IN_MS = 300_000  # so much later while the registry is away: a failover takes minutes, and people are at work
OF_MACHINES = frozenset({"machine", "machine-revoked"})  # kinds of change, as the registry counts them
OF_TEAMS = frozenset({"member", "workspace"})  # those that may change what everybody in a workspace may do
CREDENTIALS = frozenset({"team", "pat", "cli", "web"})  # kinds of token that say who is asking


class Credentials(Protocol):
    """What is needed of the registry."""

    async def find(self, hashes: Sequence[str], now_ms: int) -> Identity | None:
        """Who is behind a token, by its hash under each secret."""


class RegistryWatch(Protocol):
    """What is needed of whoever watches the registry."""

    def away(self) -> bool:
        """Whether it is known not to answer."""

    def vouched(self) -> bool:
        """Whether what was read of it before may stand in for it."""

    async def catch_up(self) -> None:
        """Learn of everything that was changed before this call; raises `RegistryUnavailable`."""


class Remembered(NamedTuple):
    """An identity, and until when it is believed without asking again."""

    identity: Identity
    until_ms: int


class Authenticator:
    """Turns a token into an `Identity`, asking the registry only for tokens that it has not seen lately."""

    def __init__(
        self,
        credentials: Credentials,
        secrets: Secrets,
        clock: Callable[[], int],
        watch: RegistryWatch | None = None,
        limited: Callable[[str], None] = lambda limit: None,
    ) -> None:
        self._credentials = credentials
        self._secrets = secrets
        self._clock = clock
        self._watch = watch
        self._strangers = Strangers(limited)
        self._remembered: OrderedDict[str, Remembered] = OrderedDict()
        self._asked: dict[tuple[str, int], asyncio.Future[Identity | None]] = {}  # questions to the registry under way
        self._changes = 0  # what was looked up before a change is not remembered after it

    async def identity(
        self, headers: Mapping[str, str], cookies: Mapping[str, str], source: Source = nowhere
    ) -> Identity:
        """Who sent a request, by its bearer token or else its cookie; raises `BadToken`, and `LimitReached` when
        `source` tries too many tokens that nobody has."""
        bearer = bearer_token(headers)
        if bearer is not None:
            return await self.by_claim(self.claim(bearer), source)
        cookie = cookies.get(COOKIE)
        if cookie is None:
            raise BadToken("sign in, or send Authorization: Bearer TOKEN")
        if tokens.parse(cookie).kind != "web":
            raise BadToken("this cookie holds no browser sign-in")
        return await self.by_claim(self.claim(cookie), source)

    async def anew(self, headers: Mapping[str, str], cookies: Mapping[str, str], before: Identity) -> Identity | None:
        """Who sent a request that was just refused, if another node gave them something in this moment; None if not.
        Behind a balancer a call and the next one meet different nodes, and the second must not deny the first."""
        if self._watch is None:
            return None
        try:
            await self._watch.catch_up()
        except RegistryUnavailable:
            return None
        found = await self.identity(headers, cookies)
        return None if found == before else found

    async def by_token(self, token: str) -> Identity:
        """Who holds this token (team, personal, CLI or browser sign-in); raises `BadToken`."""
        return await self.by_claim(self.claim(token))

    def claim(self, token: str) -> str:
        """A text without secrets that finds the token's identity again; what a ticket carries. Raises `BadToken` for a
        token that says of nobody who they are."""
        if tokens.parse(token).kind not in CREDENTIALS:
            raise BadToken("this token says nothing about who you are")
        return " ".join(self._secrets.hashes(token))

    async def by_claim(self, claim: str, source: Source = nowhere) -> Identity:
        """Who made the claim, as of now; raises `BadToken` if the credential ended since, and `LimitReached`."""
        return await self._find(claim.split(" "), source)

    def changed(self, changes: Collection[Change]) -> None:
        """Drops what is remembered of credentials, people and workspaces whose access changed. Changes of machines,
        which are most of them, touch no identity."""
        subjects = {change.subject for change in changes if change.kind not in OF_MACHINES}
        subjects |= {change.workspace for change in changes if change.kind in OF_TEAMS and change.workspace is not None}
        if not subjects:
            return
        self._changes += 1
        self._strangers.forget()
        for key, (identity, _until) in list(self._remembered.items()):
            if not subjects.isdisjoint((identity.credential, identity.id, *identity.roles)):
                del self._remembered[key]

    def clear(self) -> None:
        """Drops everything remembered, because changes may have been missed."""
        self._changes += 1
        self._strangers.forget()
        self._remembered.clear()

    async def _find(self, hashes: list[str], source: Source) -> Identity:
        key, now_ms = hashes[0], self._clock()
        found = self._remembered.get(key)
        if found is not None and now_ms < found.until_ms:
            self._remembered.move_to_end(key)
            return _current(found.identity, now_ms)
        if self._watch is not None and self._watch.away() and (stand_in := self._stand_in(key, now_ms)):
            return stand_in  # at once: nobody waits for a timeout that somebody else has waited for already
        with self._strangers.looking(key, source, now_ms):
            return await self._look_up(hashes, source, now_ms)

    async def _look_up(self, hashes: list[str], source: Source, now_ms: int) -> Identity:
        key, changes = hashes[0], self._changes
        try:
            identity = await self._ask(hashes, now_ms)
        except RegistryUnavailable:
            stand_in = self._stand_in(key, now_ms)
            if stand_in is None:
                raise
            return stand_in
        if identity is None:
            self._remembered.pop(key, None)
            self._strangers.tried(key, source, now_ms, for_certain=changes == self._changes)
            raise BadToken(UNKNOWN)
        # A change that landed during the look-up may not be in its answer.
        if changes == self._changes:
            self._remembered[key] = Remembered(identity, now_ms + REMEMBERED_MS)
            self._remembered.move_to_end(key)
            if len(self._remembered) > REMEMBERED:
                self._remembered.popitem(last=False)
        return identity

    async def _ask(self, hashes: list[str], now_ms: int) -> Identity | None:
        """Whom the registry knows by a token. A fleet that shows one key for the first time asks once, unless something
        changed since that was asked; and it waits for one timeout."""
        mark = hashes[0], self._changes
        while (asked := self._asked.get(mark)) is not None:
            await asyncio.wait([asked])
            if not asked.cancelled():  # else whoever asked has left
                return asked.result()
        asked = self._asked[mark] = asyncio.get_running_loop().create_future()
        try:
            found = await self._credentials.find(hashes, now_ms)
        except Exception as error:
            asked.set_exception(error)
            asked.exception()  # nobody else need be there to look at it
            raise
        else:
            asked.set_result(found)
            return found
        finally:
            asked.cancel()
            del self._asked[mark]

    def _stand_in(self, key: str, now_ms: int) -> Identity | None:
        """What is remembered of somebody while the registry is away."""
        found = self._remembered.get(key)
        if found is None or now_ms >= found.until_ms + STANDS_IN_MS or self._watch is None or not self._watch.vouched():
            return None
        return _current(found.identity, now_ms)


def _current(identity: Identity, now_ms: int) -> Identity:
    if identity.expires_ms is not None and identity.expires_ms <= now_ms:
        raise BadToken(UNKNOWN)
    return identity


def bearer_token(headers: Mapping[str, str]) -> str | None:
    """The token of an `Authorization: Bearer` header, or None without one; raises `BadToken` for another scheme."""
    header = headers.get("authorization")
    if header is None:
        return None
    if not header.lower().startswith(BEARER):
        raise BadToken("send Authorization: Bearer TOKEN")
    return header[len(BEARER) :].strip()
