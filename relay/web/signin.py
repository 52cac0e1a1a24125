"""Signs people in and out: one-time links, invitations, and the cookie or token that they become."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from relay import errors
from relay.registry import Actor, NewSignIn, Person, SignedIn
from relay.rules import limits, timing, tokens
from relay.rules.machine import iso
from relay.web import rate
from relay.web.answers import Link, Membership, User, listed, user
from relay.web.auth import COOKIE
from relay.web.bodies import Answer, Body, Title, answer, printable
from relay.web.call import Ask, Call
from relay.web.parts import Parts

DAY_MS = 86_400_000


class SignIn(Body):
    """The secret of a sign-in link; `cli` asks for a token in place of a cookie."""

    secret: Title
    name: Title | None = None  # what you would like to be called
    cli: bool = False


class Accept(Body):
    """The secret of an invitation, and the newcomer's name; somebody signed in joins as who they are."""

    secret: Title
    name: Title | None = None
    cli: bool = False


class SignedInAnswer(Answer, omit_defaults=True):
    """Who is signed in now; the token only where a CLI asked for one."""

    user: User
    workspaces: list[Membership]
    token: str | None = None


class SignedOut(Answer):
    """The credential that ended."""

    ended: str


async def sign_in(ask: Ask) -> Response:
    """Exchanges a sign-in link's secret."""
    body: SignIn = ask.body
    hashes = await _secret(ask, body.secret)
    token, new = new_sign_in(ask.parts, ask.request, cli=body.cli)
    name = printable(body.name) if body.name is not None else None
    found = await ask.parts.registry.links.use_sign_in(hashes, new, ask.parts.clock(), name)
    if not body.cli:
        await _end_former(ask)
    return await signed_in(ask.parts, found, token, cli=body.cli)


async def accept_invitation(ask: Ask) -> Response:
    """Joins a workspace: as who one is when signed in, else as a new person."""
    body: Accept = ask.body
    parts = ask.parts
    hashes = await _secret(ask, body.secret)
    token, new = new_sign_in(parts, ask.request, cli=body.cli)
    who = await _who(ask)
    if who is not None:
        found = await parts.registry.links.accept(hashes, who, None, parts.clock())
        workspaces = await parts.registry.workspaces.of_person(who.id)
        return answer(SignedInAnswer(user=user(found.person), workspaces=listed(workspaces)))
    if body.name is None:
        raise errors.Invalid("say what you would like to be called: `name`")
    found = await parts.registry.links.accept(hashes, printable(body.name), new, parts.clock())
    return await signed_in(parts, found, token, cli=body.cli)


async def sign_out(ask: Ask) -> Response:
    """Ends the credential that the request came with."""
    parts, who = ask.parts, ask.identity
    await parts.registry.credentials.end(who.credential, ask.person, Actor.of(who), parts.clock())
    response = answer(SignedOut(ended=who.credential))
    response.delete_cookie(COOKIE, path="/", secure=parts.settings.secure, httponly=True, samesite="strict")
    return response


async def create_sign_in_link(ask: Ask) -> Response:
    """A link that signs the asker in somewhere else."""
    parts = ask.parts
    secret = tokens.make("link", parts.randomness(tokens.RANDOM_BYTES))
    now_ms = parts.clock()
    expires_ms = now_ms + int(timing.SIGN_IN_LINK_SECONDS * 1000)
    actor = Actor.of(ask.identity)
    await parts.registry.links.create_sign_in(ask.person, parts.secrets.hash(secret), expires_ms, actor, now_ms)
    return answer(Link(url=f"{parts.settings.public_url}/#sign-in={secret}", expires_at=iso(expires_ms)), 201)


def new_sign_in(parts: Parts, request: Request, *, cli: bool) -> tuple[str, NewSignIn]:
    """A fresh token and what is stored of it, named after the program that asked."""
    kind: tokens.Kind = "cli" if cli else "web"
    token = tokens.make(kind, parts.randomness(tokens.RANDOM_BYTES))
    expires_ms = parts.clock() + timing.SIGN_IN_DAYS * DAY_MS
    agent = "".join(seen for seen in request.headers.get("user-agent", "") if seen.isprintable())
    name = agent[: limits.TITLE_CHARACTERS].strip() or "unknown"
    return token, NewSignIn("cli" if cli else "web", parts.secrets.hash(token), name, expires_ms)


async def signed_in(parts: Parts, found: SignedIn, token: str, *, cli: bool) -> Response:
    """The answer to a sign-in: the token itself for a CLI, a cookie that scripts cannot read for a browser."""
    workspaces = listed(await parts.registry.workspaces.of_person(found.person.id))
    body = SignedInAnswer(user=user(found.person), workspaces=workspaces, token=token if cli else None)
    response = answer(body)
    if not cli:
        age = timing.SIGN_IN_DAYS * DAY_MS // 1000
        secure = parts.settings.secure
        response.set_cookie(COOKIE, token, age, path="/", secure=secure, httponly=True, samesite="strict")
    return response


async def _end_former(ask: Ask) -> None:
    """End the sign-in of the cookie that a new one takes the place of: nobody could sign it out any more."""
    parts, former = ask.parts, ask.request.cookies.get(COOKIE)
    if former is None:
        return
    try:
        who = await parts.authenticator.identity({}, {COOKIE: former}, lambda: ask.address)
    except errors.BadToken:
        return
    if who.person is not None:
        await parts.registry.credentials.end(who.credential, who.person, Actor.of(who), parts.clock())


async def _secret(ask: Ask, secret: str) -> list[str]:
    await rate.take(ask.parts.rates, rate.SIGN_IN, ask.address)
    if tokens.parse(secret).kind != "link":
        raise errors.BadToken("this is not the secret of a link")
    return ask.parts.secrets.hashes(secret)


async def _who(ask: Ask) -> Person | None:
    """The person signed in already; nobody without credentials, or with ones that ended."""
    try:
        who = await ask.parts.authenticator.identity(ask.request.headers, ask.request.cookies, lambda: ask.address)
    except errors.BadToken:
        return None
    if who.person is None:
        raise errors.Forbidden("a workspace key cannot accept an invitation")
    return Person(who.person, who.name)


CALLS = (
    Call(
        method="POST",
        path="/api/sign-in",
        does="Signs you in with the secret of a one-time link: a cookie for browsers, a token for the CLI.",
        handle=sign_in,
        answer=SignedInAnswer,
        body=SignIn,
        errors=(errors.BadToken, errors.Gone, errors.LimitReached),
        asker="anybody",
        changes=True,
    ),
    Call(
        method="POST",
        path="/api/invitations/accept",
        does="Accepts an invitation, as yourself when you are signed in and else as a new person.",
        handle=accept_invitation,
        answer=SignedInAnswer,
        body=Accept,
        errors=(errors.BadToken, errors.Gone, errors.Conflict, errors.LimitReached),
        asker="anybody",
        changes=True,
    ),
    Call(
        method="POST",
        path="/api/sign-out",
        does="Ends the sign-in or token that you ask with, and forgets the cookie.",
        handle=sign_out,
        answer=SignedOut,
        asker="person",
        changes=True,
    ),
    Call(
        method="POST",
        path="/api/sign-in-links",
        does="Makes a link that signs you in on another device, once, within the hour.",
        handle=create_sign_in_link,
        answer=Link,
        asker="person",
        statuses=(201,),
    ),
)
