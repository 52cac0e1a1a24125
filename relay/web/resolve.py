"""Answers which machine a text means, and which machine a hostname is."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta
from starlette.responses import Response

from relay import errors
from relay.rules import access, limits
from relay.rules.fields import Id
from relay.rules.machine import Machine
from relay.rules.names import bare_hostname, fold
from relay.rules.resolver import MatchedBy
from relay.web.bodies import Answer, Query, answer
from relay.web.call import Ask, Call

Reason = Literal["not in workspace", "several machines have this hostname"]
NOT_HERE: Reason = "not in workspace"
SEVERAL: Reason = "several machines have this hostname"


class Resolve(Query):
    """What a person typed, and in which workspace."""

    q: str  # its length is checked by the resolver, which says so in its own words
    workspace: str | None = None


class Shadowed(Answer):
    """A machine that lost its name to another, and is reached by id or hostname."""

    id: Id
    hostname: str


class Resolved(Answer):
    """The one machine, and by what it was found; when that is its name, `shadows` lists who had it before."""

    machine: Machine
    matched_by: MatchedBy
    shadows: list[Shadowed]


class Whoami(Query):
    """The hostname as the machine's own system tells it."""

    hostname: Annotated[str, Meta(min_length=1, max_length=limits.QUERY_CHARACTERS)]
    workspace: str | None = None


class WhoamiAnswer(Answer, rename=None, omit_defaults=True):
    """Which machine has this hostname; snake_case, because shell scripts read it."""

    matched: bool
    hostname: str
    machine_id: Id | None = None
    reason: Reason | None = None


async def resolve_machine(ask: Ask) -> Response:
    """The machine that the query means."""
    query: Resolve = ask.query
    workspace = access.choose_workspace(ask.identity, query.workspace)
    found, matched_by = await ask.parts.directory.resolve(ask.identity, workspace, query.q)
    shadows = await _shadows(ask, workspace, found) if matched_by == "name" else []
    return answer(Resolved(machine=found, matched_by=matched_by, shadows=shadows))


async def whoami(ask: Ask) -> Response:
    """The machine with this very hostname; anything less exact would make a script act on the wrong machine."""
    query: Whoami = ask.query
    workspace = access.choose_workspace(ask.identity, query.workspace)
    try:
        found, matched_by = await ask.parts.directory.resolve(ask.identity, workspace, query.hostname)
    except errors.Ambiguous as error:
        several = _all_named(error.extra.get("candidates", []), query.hostname)
        return answer(WhoamiAnswer(False, query.hostname, reason=SEVERAL if several else NOT_HERE))
    except (errors.NotFound, errors.TooShort):
        return answer(WhoamiAnswer(False, query.hostname, reason=NOT_HERE))
    if matched_by != "hostname":
        return answer(WhoamiAnswer(False, query.hostname, reason=NOT_HERE))
    return answer(WhoamiAnswer(True, query.hostname, machine_id=found.id))


async def _shadows(ask: Ask, workspace: str, found: Machine) -> list[Shadowed]:
    """Whoever else of those that the asker may see was called so, a screenful at most."""
    name = fold(found.name)
    view = await ask.parts.directory.lately(workspace)
    others = [row for row in view.rows.values() if not row.name_held and fold(row.name) == name]
    seen = [row for row in others if access.may(ask.identity, "see", workspace, row)]
    return [Shadowed(id=row.id, hostname=row.hostname) for row in seen[: limits.CANDIDATES]]


def _all_named(candidates: list[dict[str, Any]], hostname: str) -> bool:
    wanted = fold(bare_hostname(hostname))
    return all(fold(bare_hostname(str(each["hostname"]))) == wanted for each in candidates)


CALLS = (
    Call(
        method="GET",
        path="/api/resolve",
        does="Finds the one machine that a text means, among those that you may see in one workspace.",
        handle=resolve_machine,
        answer=Resolved,
        query=Resolve,
        errors=(
            errors.TooShort,
            errors.WorkspaceRequired,
            errors.NotFound,
            errors.Ambiguous,
        ),
    ),
    Call(
        method="GET",
        path="/api/whoami",
        does="Tells which machine has exactly this hostname, for scripts that ask where they run.",
        handle=whoami,
        answer=WhoamiAnswer,
        query=Whoami,
        errors=(errors.WorkspaceRequired, errors.NotFound),
    ),
)
