"""Opens, lists and ends sessions on a machine over a connection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from relay.client.connection import Connection
from relay.errors import NotFound
from relay.rules import messages, quoting
from relay.rules.browser_messages import End, ListSessions, Open, Result
from relay.rules.messages import Session


async def open_terminal(connection: Connection, machine: str, *, columns: int, rows: int, title: str = "") -> Session:
    """Start a shell in a terminal of this size; raises what the relay or the machine says."""
    ask = Open(ref=0, machine=machine, columns=columns, rows=rows, title=title)
    return await _opened(connection, ask)


async def open_command(
    connection: Connection,
    machine: str,
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    directory: str | None = None,
) -> Session:
    """Start a command with its own standard input, output and error; it runs at once and waits for its reader."""
    ask = Open(
        ref=0,
        machine=machine,
        kind="exec",
        command=list(command),
        environment=dict(environment or {}),
        directory=directory,
    )
    return await _opened(connection, ask)


async def list_sessions(connection: Connection, machine: str) -> list[Session]:
    """The machine's sessions: live ones, and ended ones that it remembers."""
    result = await _result(connection, ListSessions(ref=0, machine=machine))
    return [messages.checked(Session, each) for each in result.get("sessions", [])]


async def end_session(connection: Connection, machine: str, session: str) -> None:
    """End a session and what runs in it."""
    await _result(connection, End(ref=0, machine=machine, session=session))


def choose_session(sessions: Sequence[Session], wanted: str) -> Session:
    """The one session whose id begins with `wanted`; raises `NotFound` for none and for several."""
    found = [each for each in sessions if each.id.startswith(wanted.lower())] if wanted else []
    if len(found) != 1:
        raise NotFound(f"{'several sessions begin' if found else 'no session begins'} with {quoting.quote(wanted)}")
    return found[0]


async def _opened(connection: Connection, ask: Open) -> Session:
    result = await _result(connection, ask)
    return messages.checked(Session, result.get("session"))


async def _result(connection: Connection, ask: Any) -> dict[str, Any]:
    answer = await connection.request(ask)
    return answer.result if isinstance(answer, Result) else {}
