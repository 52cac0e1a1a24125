"""Talks with one browser: hello, subscriptions to workspaces, sessions, and the frames of its attachments."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import msgspec
import structlog
from starlette.websockets import WebSocket
from structlog.contextvars import bound_contextvars

from relay import PROTOCOL
from relay.errors import BadToken, Forbidden, Invalid, LimitReached, Offline, RelayError
from relay.node.browser import Attachment, Browser
from relay.node.outcomes import outcome
from relay.node.socket import Carrier
from relay.rules import access, ids
from relay.rules.access import Action, Identity
from relay.rules.browser_messages import (
    Attach,
    BrowserHello,
    BrowserWelcome,
    Detach,
    End,
    FromBrowser,
    ListSessions,
    Open,
    Ping,
    Pong,
    Result,
    Subscribe,
    Unsubscribe,
    Visible,
    from_browser,
)
from relay.rules.limits import PENDING_PER_BROWSER
from relay.rules.machine import Registered, iso
from relay.rules.messages import ErrorMessage, Take
from relay.web.addresses import Addresses
from relay.web.auth import COOKIE, bearer_token
from relay.web.origin import check_listed
from relay.web.sockets import Doors


async def browser_conversation(doors: Doors, websocket: WebSocket, socket: Carrier) -> BrowserConversation:
    """Who listens to a browser with a sound credential; raises `BadToken` or `Forbidden` at the door."""
    identity, claim = await _who(doors, websocket)
    browser = Browser(socket, identity, claim, doors.hub.outcomes)
    doors.hub.browsers.add(browser)  # first in, then checked: a change of access from now on finds it
    try:
        checked = await doors.parts.authenticator.by_claim(claim)
    except BaseException:
        doors.router.browser_left(browser)
        raise
    if browser.identity is identity:  # else such a change was acted on meanwhile, and knows better
        browser.identity = checked
    return BrowserConversation(doors, socket, browser)


async def _who(doors: Doors, websocket: WebSocket) -> tuple[Identity, str]:
    """Who is at the door, by bearer token, ticket, or cookie with an exact Origin; and what finds them again."""
    parts = doors.parts

    def source() -> str:
        return Addresses(parts.settings.trusted_proxies).client(websocket.scope)

    bearer = bearer_token(websocket.headers)
    if bearer is not None:
        claim = parts.authenticator.claim(bearer)
        return await parts.authenticator.by_claim(claim, source), claim
    tickets = [word for word in websocket.scope.get("subprotocols", []) if word != PROTOCOL]
    if tickets:
        redeemed = await parts.tickets.redeem(tickets[0])
        if redeemed is None:
            raise BadToken("this ticket is unknown, used or expired")
        return await parts.authenticator.by_claim(redeemed), redeemed
    cookie = websocket.cookies.get(COOKIE)
    if cookie is None:
        raise BadToken("sign in first")
    check_listed(websocket.headers, parts.settings.allowed_origins)
    return await parts.authenticator.identity({}, {COOKIE: cookie}, source), parts.authenticator.claim(cookie)


class BrowserConversation:
    """One browser connection: `hello` first, then requests, each answered under its `ref`."""

    __slots__ = ("_browser", "_doors", "_socket")

    def __init__(self, doors: Doors, socket: Carrier, browser: Browser) -> None:
        self._doors = doors
        self._socket = socket
        self._browser = browser
        doors.hellos.begin(self)

    def too_late(self) -> None:
        """See `Waited`: it has not said hello."""
        self._socket.refuse(Invalid("no hello in time"))

    # --- what arrives ------------------------------------------------------------------------------------------

    def text(self, text: str) -> None:
        """A control message; raises `Invalid` for one that is malformed or not due."""
        message = from_browser(text)
        if not self._browser.client:
            if not isinstance(message, BrowserHello):
                raise Invalid("the first message is hello")
            self._hello(message)
            return
        self._act(message)

    def binary(self, frame: bytes) -> None:
        """A frame for a session."""
        if not self._browser.client:
            raise Invalid("the first message is hello")
        self._doors.router.fanout.from_browser(self._browser, frame)

    def flush(self) -> None:
        """One read is handed over; what came in it went out message by message."""

    def _hello(self, hello: BrowserHello) -> None:
        browser, doors = self._browser, self._doors
        doors.hellos.end(self)
        browser.client, browser.label = hello.client, hello.label
        identity = browser.identity
        browser.send(
            BrowserWelcome(
                user={"id": identity.id, "name": identity.name},
                workspaces=[
                    {"id": id, "name": identity.workspaces.get(id, ""), "role": role}
                    for id, role in identity.roles.items()
                ],
                nodes=doors.membership.urls(),
                node=doors.boot,
            )
        )
        doors.log.info("a browser joined", user=identity.id, connection=browser.connection)

    def _act(self, message: FromBrowser) -> None:
        browser, doors = self._browser, self._doors
        match message:
            case Subscribe():
                self._request(message.ref, doors.feeds.subscribe(browser, message))
            case Unsubscribe():
                doors.feeds.unsubscribe(browser, message.workspace)
            case Visible():
                doors.feeds.visible(browser, message)
            case Open():
                self._request(message.ref, self._open(message))
            case Attach():
                self._request(message.ref, self._attach(message))
            case End():
                self._request(message.ref, self._end_session(message))
            case ListSessions():
                self._request(message.ref, self._list_sessions(message))
            case Detach():
                attachment = self._attachment(message)
                if attachment is not None:
                    doors.router.attachments.end(attachment, "left")
            case Take():
                self._take(message)
            case Ping():
                browser.send(Pong(at=message.at))
            case BrowserHello():
                raise Invalid("a second hello")

    def _attachment(self, message: Detach | Take) -> Attachment | None:
        return self._browser.attachments.get((ids.raw(message.session), message.attachment))

    def _take(self, message: Take) -> None:
        attachment = self._attachment(message)
        if attachment is None:
            error = ErrorMessage(code="not-attached", message="this socket holds no such attachment")
            self._browser.send(error)
        elif attachment.ask.mode == "watch":
            self._browser.send(ErrorMessage(code="forbidden", message="a watcher cannot take the keyboard"))
        else:
            self._doors.router.attachments.take(attachment)

    # --- requests ----------------------------------------------------------------------------------------------

    def _request(self, ref: int, work: Coroutine[Any, Any, None]) -> None:
        """Run a request on behalf of the browser, as many at a time as the limit allows."""
        browser = self._browser
        if browser.pending >= PENDING_PER_BROWSER:
            work.close()
            self._doors.meters.limited("PENDING_PER_BROWSER")
            limit = LimitReached("too many requests without an answer", limit="PENDING_PER_BROWSER")
            browser.send(error_message(limit, ref))
            return
        browser.pending += 1
        self._socket.spawn(self._answer(ref, work))

    async def _answer(self, ref: int, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except RelayError as error:
            if isinstance(error, LimitReached):
                self._doors.meters.limited(str(error.extra.get("limit")))
            self._browser.send(error_message(error, ref))
        except Exception:
            structlog.get_logger().exception("a request failed")
            self._browser.send(ErrorMessage(code="internal", message="internal error", ref=ref))
        finally:
            self._browser.pending -= 1

    async def _allowed(self, machine: str, action: Action) -> Registered:
        identity = self._browser.identity
        row = await self._doors.parts.directory.registered(identity, machine)
        if not access.may(identity, action, row.workspace, row):
            raise Forbidden("your role does not allow this")
        return row

    async def _ask(self, ask: Open | End | ListSessions, operation: Any, action: Action) -> None:
        row = await self._allowed(ask.machine, action)
        body = msgspec.to_builtins(ask)
        for name in ("type", "ref", "machine", "traceparent"):
            body.pop(name, None)
        router, browser = self._doors.router, self._browser
        span = router.requests.begin(row.id, operation, ask.traceparent)
        try:
            with bound_contextvars(**self._ids(row)):
                result = await router.ask(row.workspace, row.id, operation, browser.operator, body, span)
        except Offline as error:
            raise offline(row, error) from None
        if operation == "open":
            browser.opened(result, span)
        browser.send(Result(ref=ask.ref, result=result))

    async def _open(self, ask: Open) -> None:
        await self._ask(ask, "open", "drive")

    async def _end_session(self, ask: End) -> None:
        await self._ask(ask, "end", "drive")

    async def _list_sessions(self, ask: ListSessions) -> None:
        await self._ask(ask, "sessions", "watch")

    async def _attach(self, ask: Attach) -> None:
        try:
            await self._start_attach(ask)
        except Exception as error:
            self._browser.outcomes.attaches[outcome(error)] += 1
            raise

    async def _start_attach(self, ask: Attach) -> None:
        row = await self._allowed(ask.machine, "drive" if ask.mode == "drive" else "watch")

        async def check(attachment: Attachment) -> None:
            await self._allowed(attachment.machine, "drive" if ask.mode == "drive" else "watch")

        try:
            await self._doors.router.attach(self._browser, row.workspace, ask, check)
        except Offline as error:
            raise offline(row, error) from None
        self._doors.log.info("a session is attached", machine=row.id, session=ask.session, mode=ask.mode,
                             **self._ids(row))  # fmt: skip

    def _ids(self, row: Registered) -> dict[str, str]:
        """What joins the lines of a log about what one person does."""
        browser = self._browser
        return {"connection": browser.connection, "user": browser.identity.id, "workspace": row.workspace}

    # --- the end -----------------------------------------------------------------------------------------------

    def closed(self, code: int, reason: str) -> None:
        """Let go of everything that this socket held."""
        self._doors.hellos.end(self)
        self._doors.left("browser", code)
        known = {"user": self._browser.identity.id, "connection": self._browser.connection}
        self._doors.log.info("a browser left", code=code, reason=reason, **known)
        self._doors.feeds.browser_left(self._browser)
        self._doors.router.browser_left(self._browser)


def offline(row: Registered, error: Offline) -> Offline:
    """The error with the machine's name in it, and the best that is known of when it was last seen."""
    at = error.extra.get("lastSeenAt") or (iso(row.last_seen_ms) if row.last_seen_ms is not None else None)
    seen = f"last seen {at}" if at else "never seen"
    return Offline(f"{row.name} is offline, {seen}", lastSeenAt=at)


def error_message(error: RelayError, ref: int | None) -> ErrorMessage:
    """An error as the control message that answers a request."""
    return ErrorMessage(
        code=error.code,
        message=error.message,
        ref=ref,
        candidates=error.extra.get("candidates"),
        last_seen_at=error.extra.get("lastSeenAt"),
        limit=error.extra.get("limit"),
    )
