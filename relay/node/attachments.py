"""Keeps the attachments of this node's browsers: brings them to their session, and ends them when they may not stay."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from relay.errors import Conflict, LimitReached, NotFound, Unavailable
from relay.node import hops
from relay.node.agent import Agent
from relay.node.browser import Attachment, Browser, Reason
from relay.node.calls import Calls
from relay.node.hub import Hub
from relay.node.lanes import Lanes
from relay.node.outcomes import code_of
from relay.node.sessions import Sessions
from relay.rules import ids
from relay.rules.browser_messages import Attach
from relay.rules.limits import ATTACHMENTS_PER_BROWSER
from relay.rules.timing import REQUEST_SECONDS
from relay.traces import Span

Check = Callable[[Attachment], Awaitable[None]]  # raises NotFound or Forbidden if the browser may not attach
FOLLOWED = 3  # moves of a machine in one attach, which takes a second or two; it is the browser's turn then


class Moved(Unavailable):
    """The machine is not on the node that was asked any more, and may be asked for elsewhere at once."""


class Attachments:
    """The browser's side of attachments, whether the agent is on this node or on another."""

    def __init__(self, hub: Hub, lanes: Lanes, calls: Calls, sessions: Sessions) -> None:
        self._hub = hub
        self._lanes = lanes
        self._calls = calls
        self._sessions = sessions
        self._numbering: dict[int, Attachment] = {}  # by call: those that wait for a number from another node
        self._awaited: dict[str, dict[int, str]] = {}  # of those, by machine and call: the node that was asked

    async def attach(
        self, browser: Browser, workspace: str, ask: Attach, check: Check, home_of: Callable[[], Awaitable[str]]
    ) -> None:
        """Start an attach, whose `attaching` follows; a machine that comes back elsewhere meanwhile is followed there.
        Raises what `check` and `home_of` raise, and `NotFound`, `Conflict`, `LimitReached` or `Unavailable`."""
        span = self._hub.traces.follow(
            "request attach", browser.goes_on(ask), operation="attach", machine=ask.machine, session=ask.session
        )
        try:
            for _ in range(FOLLOWED):
                try:
                    await self._attach(browser, workspace, ask, check, home_of, span)
                except Moved:
                    continue
                return
            raise Unavailable("the machine moves from node to node")
        except BaseException as error:
            span.end(code_of(error))
            raise

    async def _attach(
        self,
        browser: Browser,
        workspace: str,
        ask: Attach,
        check: Check,
        home_of: Callable[[], Awaitable[str]],
        span: Span,
    ) -> None:
        unnumbered = sum(not each.number for each in browser.asking)  # the others are among its attachments already
        if len(browser.attachments) + unnumbered >= ATTACHMENTS_PER_BROWSER:
            raise LimitReached("too many attachments on one socket", limit="ATTACHMENTS_PER_BROWSER")
        attachment = Attachment(browser, workspace, ask, span)
        browser.asking.add(attachment)  # first in, then checked: a change that lands in between finds it
        try:
            await check(attachment)
            home = None if ask.machine in self._hub.agents else await home_of()
            if not self._wanted(attachment):
                raise NotFound("no such machine")
            agent = self._hub.agents.get(ask.machine)
            if agent is not None:
                self._attach_here(agent, attachment)
            elif home is not None:
                await self._attach_there(attachment, home)
        finally:
            browser.asking.discard(attachment)

    def _attach_here(self, agent: Agent, attachment: Attachment) -> None:
        try:
            self._sessions.attach_here(agent, attachment)
        except Conflict:
            if not self._ends_older(attachment):
                raise
            self._sessions.attach_here(agent, attachment)

    def _ends_older(self, attachment: Attachment) -> bool:
        """End what its browser holds under the same number of the same machine. One connection of a machine gives no
        number twice, so that is of an earlier one, on a node that died and of which nobody here has heard yet."""
        older = attachment.browser.attachments.get(attachment.key)
        if older is None or older.machine != attachment.machine:
            return False
        self.end(older, "gap", dropped=True)
        return True

    def _wanted(self, attachment: Attachment) -> bool:
        return not attachment.cancelled and attachment.browser in self._hub.browsers

    async def _attach_there(self, attachment: Attachment, home: str) -> None:
        ask, browser = attachment.ask, attachment.browser
        attachment.home = home
        call = self._calls.begin(home)
        self._numbering[call] = attachment
        hop = hops.AttachHop(
            call=call,
            machine=ask.machine,
            session=ask.session,
            client=browser.client,
            mode=ask.mode,
            operator=browser.operator,
            after=ask.after,
            columns=ask.columns,
            rows=ask.rows,
            take=ask.take,
            trace=attachment.span.carried,
        )
        self._lanes.send_hop(home, hop)
        awaited = self._awaited.setdefault(ask.machine, {})
        awaited[call] = home
        try:
            await self._calls.outcome(call)
        except BaseException:
            attachment.cancelled = True  # a number that comes all the same is given back
            asyncio.get_running_loop().call_later(REQUEST_SECONDS, self._numbering.pop, call, None)
            raise
        finally:
            del awaited[call]
            if not awaited:
                self._awaited.pop(ask.machine, None)

    def awaits(self, machine: str) -> bool:
        """Whether somebody here waits for the node that this machine is said to be on."""
        return machine in self._awaited

    def moved(self, machine: str, node: str) -> None:
        """The machine is on this node now: whoever waits for another one, which may be dead, asks there instead."""
        for call, home in list(self._awaited.get(machine, {}).items()):
            if home != node:
                self._calls.refuse(call, Moved("the machine has moved to another node"))

    def numbered(self, sender: str, hop: hops.NumberedHop) -> None:
        """The agent's node gave a number: frames that follow in this very batch already find the attachment."""
        attachment = self._numbering.pop(hop.call, None)
        if attachment is None:
            return  # given up long ago; the agent's node forgets it when no interest list names it
        if not self._calls.waits(hop.call):
            attachment.cancelled = True  # given up in this very tick, so that whoever asked has not noticed yet
        attachment.number, attachment.generation = hop.attachment, hop.generation
        if self._wanted(attachment):
            self._ends_older(attachment)
        if not self._wanted(attachment) or attachment.key in attachment.browser.attachments:
            self._leave_there(attachment, dropped=False)
            self._calls.refuse(hop.call, NotFound("no such machine"))
            return
        away = self._hub.away_of(ids.raw(attachment.machine), attachment.session, sender, hop.generation)
        if away is None:
            self._leave_there(attachment, dropped=False)
            self._calls.refuse(hop.call, Moved("the machine has moved to another node"))
            return
        away.audience.pending[hop.attachment] = attachment
        attachment.browser.attachments[attachment.key] = attachment
        self._calls.answer(hop.call, {})

    def told(self, sender: str, hop: hops.TellHop | hops.TellAllHop) -> None:
        """An agent of another node speaks to one attachment here, or to all of a session."""
        away = self._hub.away.get((ids.raw(hop.machine), ids.raw(hop.message.session)))
        if away is None or away.home != sender or away.generation != hop.generation:
            return
        if isinstance(hop, hops.TellHop):
            away.audience.hear(hop.message)
            self._tidy(ids.raw(hop.machine), ids.raw(hop.message.session))
        else:
            for attachment in away.audience.all():
                attachment.tell(hop.message)

    def end(self, attachment: Attachment, reason: Reason, *, dropped: bool = False, away: bool = False) -> None:
        """End an attachment on both sides and tell its browser why; see `AgentDetach` for `dropped` and `away`."""
        if attachment.number == 0:
            attachment.cancelled = True
            return
        self._leave(attachment, dropped=dropped, away=away)
        attachment.end(reason)

    def browser_left(self, browser: Browser) -> None:
        """The browser's socket is gone: its attachments may come back for their keyboard."""
        for attachment in browser.asking:
            attachment.cancelled = True
        for attachment in list(browser.attachments.values()):
            attachment.span.end("left")
            self._leave(attachment, dropped=True)
        browser.attachments.clear()

    def _leave(self, attachment: Attachment, *, dropped: bool, away: bool = False) -> None:
        if attachment.home is None:
            self._sessions.left(attachment.machine, attachment.session, attachment.number, None, dropped=dropped)
            return
        there = self._hub.away.get((ids.raw(attachment.machine), attachment.session))
        if there is not None and there.audience.find(attachment.number) is attachment:
            there.audience.leave(attachment.number)
            self._tidy(ids.raw(attachment.machine), attachment.session)
        self._leave_there(attachment, dropped=dropped, away=away)

    def _leave_there(self, attachment: Attachment, *, dropped: bool, away: bool = False) -> None:
        assert attachment.home is not None
        self._lanes.send_hop(attachment.home, hops.DetachHop(**_named(attachment), dropped=dropped, away=away))

    def take(self, attachment: Attachment) -> None:
        """This attachment takes the keyboard."""
        if attachment.home is None:
            self._sessions.take(attachment.machine, attachment.session, attachment.number, None)
            return
        self._lanes.send_hop(attachment.home, hops.TakeHop(**_named(attachment)))

    def machine_gone(self, sender: str, hop: hops.MachineGoneHop) -> None:
        """An agent of another node left, and with it all attachments to it."""
        raw = ids.raw(hop.machine)
        for session in self._hub.away_sessions(raw):
            away = self._hub.away[raw, session]
            if away.home == sender and away.generation == hop.generation:
                self._dismiss(raw, session, "machine-revoked" if hop.revoked else "machine-gone")

    def cut(self, sender: str, hop: hops.CutHop) -> None:
        """Frames of a session on another node are missing, and that node let go of all attachments here."""
        machine, session = ids.raw(hop.machine), ids.raw(hop.session)
        away = self._hub.away.get((machine, session))
        if away is not None and away.home == sender and away.generation == hop.generation:
            self._dismiss(machine, session, "gap")

    def input_cut(self, home: str, machine: bytes, session: bytes) -> None:
        """What was typed here into a session on another node could not be sent: whoever typed begins again."""
        away = self._hub.away.get((machine, session))
        if away is not None and away.home == home:
            for attachment in away.audience.all():
                self.end(attachment, "gap", dropped=True)

    def lane_broken(self, sender: str, *, away: bool = False) -> None:
        """Frames between that node and this one may be lost: everybody with an agent there must attach again; `away` if
        nothing comes from there any more, so that nobody there should wait for them."""
        for attachment in list(self._hub.attachments()):
            if attachment.home == sender and attachment.number:
                self.end(attachment, "gap", dropped=True, away=away)
        self._calls.node_lost(sender)

    def unknown(self, sender: str, hop: hops.UnknownAttachmentHop) -> None:
        """The agent's node does not have an attachment that we hold."""
        away = self._hub.away.get((ids.raw(hop.machine), ids.raw(hop.session)))
        if away is None or away.home != sender or away.generation != hop.generation:
            return
        attachment = away.audience.leave(hop.attachment)
        if attachment is not None:
            attachment.end("gap")
            self._tidy(ids.raw(hop.machine), ids.raw(hop.session))

    def _dismiss(self, machine: bytes, session: bytes, reason: Reason) -> None:
        self._hub.away_ended(machine, session).audience.dismiss(reason)

    def _tidy(self, machine: bytes, session: bytes) -> None:
        away = self._hub.away.get((machine, session))
        if away is not None and not away.audience.all():
            self._hub.away_ended(machine, session)


def _named(attachment: Attachment) -> dict[str, Any]:
    """What names an attachment to the node of its agent."""
    return {
        "machine": attachment.machine,
        "generation": attachment.generation,
        "session": attachment.ask.session,
        "attachment": attachment.number,
    }
