"""Acts on changes of access: closes revoked machines, and asks again whether browsers may be where they are."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from relay.errors import BadToken, Close, NotFound, RelayError
from relay.node.browser import Attachment, Browser
from relay.node.directory import Directory
from relay.node.feeds import Feeds
from relay.node.router import Router
from relay.registry import Change
from relay.rules import access
from relay.rules.access import Identity

RETRY_SECONDS = 1.0
AT_ONCE = 200  # attachments looked at without giving the loop back: about 1 ms
ByClaim = Callable[[str], Awaitable[Identity]]  # finds an identity again; raises `BadToken`


class Reactions:
    """What a change does to the sockets of this node. It may be read late or twice: each step asks what is true now."""

    def __init__(self, router: Router, directory: Directory, feeds: Feeds, by_claim: ByClaim) -> None:
        self._waiting: list[Change] = []
        self._everything = False
        self._rung = asyncio.Event()
        self._router = router
        self._directory = directory
        self._feeds = feeds
        self._by_claim = by_claim

    def changed(self, changes: Sequence[Change]) -> None:
        """These changes are to be acted on soon; revocations at once, however long what waits before them takes."""
        for change in changes:
            if change.kind == "machine-revoked":
                self._router.revoked(change.subject)
        self._waiting += changes
        self._rung.set()

    def missed(self) -> None:
        """Changes were missed: everything is to be asked again."""
        self._everything = True
        self._rung.set()

    async def run(self) -> None:
        """Act until cancelled; what fails because something does not answer is done again."""
        while True:
            await self._rung.wait()
            self._rung.clear()
            waiting, self._waiting = self._waiting, []
            everything, self._everything = self._everything, False
            try:
                await (self.react_to_everything() if everything else self.react(waiting))
            except RelayError as error:
                structlog.get_logger().warning("changes of access wait", why=error.message)
                await self._again()
            except Exception:
                structlog.get_logger().exception("changes of access could not be acted on")
                await self._again()

    async def _again(self) -> None:
        self._everything = True
        await asyncio.sleep(RETRY_SECONDS)
        self._rung.set()

    async def react(self, changes: Sequence[Change]) -> None:
        """Apply a run of changes; raises `Unavailable`, and may then be repeated whole."""
        machines = {change.subject for change in changes if change.kind in ("machine", "machine-revoked")}
        people = [change for change in changes if change.kind in ("member", "credential", "workspace")]
        if people:
            await self._identify_again(people)
        workspaces = {change.workspace for change in people}
        attachments = list(self._router.hub.attachments())
        await self._recheck([each for each in attachments if each.machine in machines or each.workspace in workspaces])

    async def react_to_everything(self) -> None:
        """Ask again about everybody; raises `Unavailable`."""
        for agent in list(self._router.hub.agents.values()):
            try:
                await self._directory.row(agent.workspace, agent.machine)
            except NotFound:
                self._router.close_here(agent.machine, Close.MACHINE_REVOKED)
        for browser in list(self._router.hub.browsers):
            await self._refresh(browser)
        await self._recheck(list(self._router.hub.attachments()))

    async def _identify_again(self, changes: Sequence[Change]) -> None:
        subjects = {change.subject for change in changes}
        workspaces = {change.workspace for change in changes if change.kind in ("member", "workspace")}
        for browser in list(self._router.hub.browsers):
            identity = browser.identity
            if subjects & {identity.id, identity.credential} or workspaces & identity.roles.keys():
                await self._refresh(browser)

    async def _refresh(self, browser: Browser) -> None:
        try:
            identity = await self._by_claim(browser.credential)
        except BadToken:
            browser.socket.close(Close.BAD_TOKEN)
            return
        before, browser.identity = browser.identity, identity
        for workspace in list(browser.feeds):
            if workspace not in identity.roles:
                self._feeds.unsubscribe(browser, workspace)
        if before.roles and not identity.roles:
            browser.socket.close(Close.FORBIDDEN)
        elif before.roles != identity.roles:
            self._feeds.again(None)

    async def _recheck(self, attachments: Sequence[Attachment]) -> None:
        """End those that may not stay. The rows in memory are as new as the changes that are acted on, so that this
        asks the registry once for a workspace and not once for an attachment."""
        for number, attachment in enumerate(attachments, 1):
            if not await self._may_stay(attachment):
                self._router.attachments.end(attachment, "forbidden")
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)

    async def _may_stay(self, attachment: Attachment) -> bool:
        identity = attachment.browser.identity
        try:
            row = await self._directory.row(attachment.workspace, attachment.machine)
        except NotFound:
            return False
        action: access.Action = "drive" if attachment.ask.mode == "drive" else "watch"
        return access.may(identity, action, row.workspace, row)
