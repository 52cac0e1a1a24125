"""Keeps all sessions of this machine: starts and ends them, and brings what the relay says to the one it is for."""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Annotated, NamedTuple

import structlog
from msgspec import Meta

from relay.agent import archive, environment, program
from relay.agent.clock import Clock
from relay.agent.environment import Account
from relay.agent.history import RESTARTED, TAIL_BYTES, Entry, History
from relay.agent.outlet import Outlet
from relay.agent.program import Program, Start
from relay.agent.session import ENDED_KEPT_SECONDS, Session
from relay.agent.take_terminal import NOT_EXECUTABLE, NOT_FOUND
from relay.errors import Invalid, LimitReached, NotFound, Unavailable
from relay.rules import frames, ids, limits, messages
from relay.rules.agent_messages import AgentAttach, AgentDetach, AttachRefused, SessionChanged
from relay.rules.fields import Columns, Rows, SessionKind, Title
from relay.rules.messages import Message, Operator, Take
from relay.traces import Span, Traces

ENDED_KEPT = 64  # sessions that are over and still in memory, a ring each; the others come from the history
UNWRITTEN_KEPT = 128  # the same while the history takes nothing, so that a full disk does not fill the memory too


class Opening(Message, kw_only=True):
    """What a person asks to be started; the fields of `open` without its address."""

    kind: SessionKind = "terminal"
    command: Annotated[list[str], Meta(max_length=limits.ARGUMENTS)] | None = None
    directory: Annotated[str, Meta(max_length=4096)] | None = None
    environment: Annotated[dict[str, str], Meta(max_length=limits.ENVIRONMENT)] = {}  # noqa: RUF012 - msgspec copies it
    columns: Columns = 80
    rows: Rows = 24
    title: Title = ""


class Host(NamedTuple):
    """What programs are started with on this computer."""

    account: Account
    variables: Mapping[str, str]


class Sessions:
    """All sessions in memory, live ones and those whose end nobody has seen yet. Programs run in the task group given
    to `run`, so that none outlives the agent."""

    def __init__(self, epoch: int, outlet: Outlet, clock: Clock, host: Host, history: History) -> None:
        self.epoch = epoch
        self._outlet = outlet
        self._clock = clock
        self._host = host
        self._history = history
        self.traces = Traces()  # set once, where somebody records them
        self._tasks: asyncio.TaskGroup | None = None
        self._sessions: dict[str, Session] = {}
        self._fetching: set[tuple[str, int]] = set()  # attachments to sessions that come from the history

    def run_in(self, tasks: asyncio.TaskGroup) -> None:
        """Programs run in this task group."""
        self._tasks = tasks

    # --- requests ----------------------------------------------------------------------------------------------------

    async def open(self, ask: Opening, operator: Operator) -> messages.Session:
        """Start a session; raises `Invalid`, `LimitReached` or `Unavailable`."""
        if sum(session.live for session in self._sessions.values()) >= limits.SESSIONS_PER_MACHINE:
            raise LimitReached("this machine has too many sessions", limit="SESSIONS_PER_MACHINE")
        start = self._start(ask)
        described = messages.Session(
            id=ids.make(os.urandom(ids.RAW_BYTES)),
            epoch=self.epoch,
            kind=ask.kind,
            title=_title(ask, start),
            started_at=self._clock.unix(),
            columns=ask.columns,
            rows=ask.rows,
        )
        session = self._sessions[described.id] = Session(described, self._outlet, self._clock)
        try:
            running = await self._launch(ask, start, session)
        except BaseException:
            del self._sessions[described.id]
            raise
        structlog.get_logger().info(
            "session opened", session=session.id, kind=ask.kind, user=operator.user, client=operator.client
        )
        self._outlet.tell(SessionChanged(session=session.announce()))
        if running is not None:
            self._create_task(session.run(running))
        return session.describe()

    async def end(self, id: str) -> messages.Session:
        """End a session and wait until it has; raises `NotFound`."""
        session = self.find(id)
        await session.end("killed")
        return session.describe()

    def find(self, id: str) -> Session:
        """The session in memory with this id; raises `NotFound`."""
        session = self._sessions.get(id)
        if session is None:
            raise NotFound("no such session on this machine")
        return session

    def remembered(self) -> list[messages.Session]:
        """All sessions in memory, newest first."""
        described = [session.describe() for session in self._sessions.values()]
        return sorted(described, key=lambda session: session.started_at, reverse=True)

    def offer(self, sessions: list[messages.Session]) -> None:
        """Let the relay know of sessions in the history, so that people can attach to them and read what is kept."""
        for session in sessions:
            self._outlet.tell(SessionChanged(session=session))

    # --- the connection to the relay ---------------------------------------------------------------------------------

    def announced(self) -> list[messages.Session]:
        """What a new connection is told of first."""
        newest_first = sorted(self._sessions.values(), key=lambda session: (session.live, session.began), reverse=True)
        return [session.announce() for session in newest_first[: limits.SESSIONS_PER_MACHINE]]

    def attach(self, ask: AgentAttach) -> None:
        """Somebody wants the output of a session."""
        structlog.get_logger().info(
            "attached", session=ask.session, user=ask.operator.user, client=ask.operator.client, mode=ask.mode
        )
        span = self.traces.follow("agent attach", ask.traceparent, operation="attach", session=ask.session)
        session = self._sessions.get(ask.session)
        if session is not None:
            session.attach(ask)
            span.end()
        else:
            self._fetching.add((ask.session, ask.attachment))
            self._create_task(self._fetch(ask, span))

    async def _fetch(self, ask: AgentAttach, span: Span) -> None:
        """Bring a session back from the history, for an attachment that did not leave meanwhile."""
        try:
            found = await self._history.session(ask.session)
        except (sqlite3.Error, Invalid) as error:
            # A damaged file must cost nothing but itself: this runs beside the sessions that are alive.
            structlog.get_logger().error("the history cannot be read", why=str(error))
            found = None
        wanted = (ask.session, ask.attachment) in self._fetching
        self._fetching.discard((ask.session, ask.attachment))
        if not wanted:
            span.end("left")
            return
        if found is None:
            span.end(NotFound.code)
            structlog.get_logger().info("attach to a session that is gone", session=ask.session)
            gone = "this machine does not keep that session any more"
            self._outlet.tell(AttachRefused(session=ask.session, attachment=ask.attachment, message=gone))
            return
        if ask.session not in self._sessions:
            described, kept = found
            self._sessions[ask.session] = Session(
                described, self._outlet, self._clock, archive.ring_of(described, kept)
            )
        self._sessions[ask.session].attach(ask)
        span.end()

    def detach(self, message: AgentDetach) -> None:
        """An attachment left."""
        self._fetching.discard((message.session, message.attachment))
        session = self._sessions.get(message.session)
        if session is not None:
            session.detach(message.attachment, dropped=message.dropped, away=message.away)

    def take(self, message: Take) -> None:
        """An attachment takes the keyboard."""
        session = self._sessions.get(message.session)
        if session is not None:
            session.take(message.attachment)

    def frame(self, frame: bytes) -> None:
        """A frame of an attachment; raises `Invalid` for one that no browser may send."""
        header = frames.read_header(frame, frames.FROM_BROWSER)
        session = self._sessions.get(ids.text(header.session))
        if session is not None:
            session.frame(header, frames.payload(frame))

    def disconnected(self) -> None:
        """The connection is gone; sessions go on."""
        self._fetching.clear()
        for session in self._sessions.values():
            session.disconnected()

    def pressed(self) -> None:
        """The connection became full, or has room again."""
        for session in self._sessions.values():
            session.pressed()

    # --- time --------------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Do what is due by time alone; called about every second."""
        left = []
        for session in self._sessions.values():
            given_up = session.tick()
            if given_up is not None:
                self._create_task(session.end(given_up))
            if session.left:
                left.append(session)
        left.sort(key=lambda session: session.ended_seconds)
        for place, session in enumerate(left):
            enough = place >= ENDED_KEPT or session.ended_seconds > ENDED_KEPT_SECONDS
            if (session.recorded and enough) or place >= UNWRITTEN_KEPT:
                del self._sessions[session.id]

    def unwritten(self) -> list[Entry]:
        """What the history does not have yet; the caller writes it."""
        entries = []
        for session in self._sessions.values():
            if session.changed or session.written < session.ring.head:
                keep_from = session.ring.tail(TAIL_BYTES)
                entries.append(
                    Entry(session.describe(), session.ring.since(max(session.written, keep_from - 1)), keep_from)
                )
                session.changed = False
                session.written = session.ring.head
        return entries

    def not_written(self, entries: list[Entry]) -> None:
        """The history did not take these: they are to be written with what comes next."""
        for entry in entries:
            session = self._sessions.get(entry.session.id)
            if session is not None:
                session.changed = True
                session.written -= len(entry.frames)

    async def end_all(self) -> None:
        """End everything, because the agent leaves."""
        async with asyncio.TaskGroup() as ending:
            for session in self._sessions.values():
                if session.live:
                    ending.create_task(session.end(RESTARTED))

    def kill_all(self) -> None:
        """The same when there is no time to wait."""
        for session in self._sessions.values():
            session.kill()

    # --- inside ------------------------------------------------------------------------------------------------------

    def _create_task(self, work: Coroutine[None, None, None]) -> None:
        assert self._tasks is not None, "programs need a task group"
        self._tasks.create_task(work)

    def _start(self, ask: Opening) -> Start:
        account, inherited = self._host
        words = ask.command or []
        if any("\0" in word for word in words) or (words and not words[0]):
            raise Invalid("the words of a command are not empty and have no NUL")
        if ask.kind == "exec" and not words:
            raise Invalid("a command is needed")
        variables = environment.variables(inherited, account, ask.environment, terminal=ask.kind == "terminal")
        argv0 = words[0] if words else ""
        if not words:
            words = [environment.shell(inherited, account)]
            argv0 = f"-{Path(words[0]).name}"
        return Start(words, argv0, environment.folder(ask.directory, account), variables)

    async def _launch(self, ask: Opening, start: Start, session: Session) -> Program | None:
        """The running program, or None when it could not be run and the session ended with the code that shells use."""
        try:
            if ask.kind == "terminal":
                return await program.start_terminal(start, ask.columns, ask.rows, session.received)
            return await program.start_command(start, session.received)
        except FileNotFoundError:
            session.received(f"relay: command not found: {start.words[0]}\n".encode(), frames.STDERR)
            session.finish(NOT_FOUND)
        except OSError as error:
            if ask.kind == "terminal" or not _about_the_program(error):
                raise Unavailable(f"this machine cannot start a program: {error.strerror}") from error
            session.received(f"relay: cannot run {start.words[0]}: {error.strerror}\n".encode(), frames.STDERR)
            session.finish(NOT_EXECUTABLE)
        return None


def _about_the_program(error: OSError) -> bool:
    """Whether another program could have been started: `errno` of a file that cannot be run."""
    return error.errno in (errno.EACCES, errno.EPERM, errno.ENOEXEC, errno.ENOTDIR, errno.EISDIR, errno.E2BIG)


def _title(ask: Opening, start: Start) -> str:
    words = ask.title or " ".join(ask.command or [Path(start.words[0]).name])
    return "".join(c if c.isprintable() else " " for c in words)[: limits.TITLE_CHARACTERS]
