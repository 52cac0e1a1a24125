"""Lists, founds and changes workspaces, and shows their audit trail."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta
from starlette.responses import Response

from relay import errors
from relay.registry import Actor, Entry, Workspace
from relay.rules import limits
from relay.rules.access import Role
from relay.rules.fields import Id
from relay.rules.machine import iso
from relay.web.bodies import Answer, Body, Moment, Query, Title, answer, printable
from relay.web.call import Ask, Call
from relay.web.pages import read_cursor, write_cursor

NameTakeover = Literal["newest", "refuse-online"]


class WorkspaceAnswer(Answer):
    """A workspace; `nameTakeover` says whether a newcomer may take the name of a machine that is online."""

    id: Id
    name: str
    role: Role
    name_takeover: NameTakeover
    created_at: Moment


class Workspaces(Answer):
    """Workspaces by name."""

    workspaces: list[WorkspaceAnswer]


class Found(Body):
    """The new workspace's name."""

    name: Title


class Change(Body):
    """What to change; what is left out stays."""

    name: Title | None = None
    name_takeover: NameTakeover | None = None


class AuditQuery(Query):
    """Where the page begins, and how long it is."""

    cursor: Annotated[str, Meta(min_length=1, max_length=1_024)] | None = None
    limit: Annotated[int, Meta(ge=1, le=limits.EVENTS_PAGE)] = limits.EVENTS_PAGE


class Doer(Answer):
    """Who did something, as they were called then; `system` is the relay itself."""

    kind: Literal["person", "key", "system"]
    id: str
    name: str


class AuditEntry(Answer):
    """One thing that somebody did."""

    number: int
    at: Moment
    actor: Doer
    action: str
    subject: str
    detail: dict[str, Any]


class AuditAnswer(Answer):
    """Entries, newest first, and the cursor of the next page."""

    entries: list[AuditEntry]
    next: str | None


async def list_workspaces(ask: Ask) -> Response:
    """The asker's workspaces; a key has one."""
    registry, who = ask.parts.registry, ask.identity
    if who.person is not None:
        found = await registry.workspaces.of_person(who.person)
    else:
        found = [await registry.workspaces.get(workspace) for workspace in who.roles]
    return answer(Workspaces(workspaces=[shape(each, who.roles.get(each.id, "member")) for each in found]))


async def create_workspace(ask: Ask) -> Response:
    """A new workspace, owned by the asker."""
    body: Found = ask.body
    parts = ask.parts
    made = await parts.registry.workspaces.create(
        printable(body.name), ask.person, Actor.of(ask.identity), parts.clock()
    )
    return answer(shape(made, "owner"), 201)


async def change_workspace(ask: Ask) -> Response:
    """Another name, another rule for names."""
    body: Change = ask.body
    parts, workspace = ask.parts, ask.id("workspace")
    ask.allowed("workspace", workspace)
    name = printable(body.name) if body.name is not None else None
    changed = await parts.registry.workspaces.update(
        workspace, Actor.of(ask.identity), parts.clock(), name=name, takeover=body.name_takeover
    )
    return answer(shape(changed, ask.identity.roles[workspace]))


async def list_audit(ask: Ask) -> Response:
    """Who did what, as far as the asker may know of it."""
    query: AuditQuery = ask.query
    workspace = ask.id("workspace")
    ask.allowed("audit", workspace)
    cursor = None
    if query.cursor is not None:
        (text,) = read_cursor(query.cursor, 1)
        if not (text.isascii() and text.isdigit() and len(text) < 19):
            raise errors.Invalid("this is not a cursor of this list")
        cursor = int(text)
    page = await ask.parts.registry.audit.page(workspace, ask.identity.person, cursor, query.limit)
    following = write_cursor((str(page.next),)) if page.next is not None else None
    return answer(AuditAnswer(entries=[_entry(each) for each in page.entries], next=following))


def shape(found: Workspace, role: Role) -> WorkspaceAnswer:
    """A workspace as answers show it."""
    return WorkspaceAnswer(
        id=found.id,
        name=found.name,
        role=found.role or role,
        name_takeover=found.name_takeover,
        created_at=iso(found.created_ms),
    )


def _entry(each: Entry) -> AuditEntry:
    return AuditEntry(
        number=each.number,
        at=iso(each.at_ms),
        actor=Doer(kind=each.actor.kind, id=each.actor.id, name=each.actor.name),
        action=each.action,
        subject=each.subject,
        detail=each.detail,
    )


CALLS = (
    Call(
        method="GET",
        path="/api/workspaces",
        does="Lists the workspaces that you belong to.",
        handle=list_workspaces,
        answer=Workspaces,
    ),
    Call(
        method="POST",
        path="/api/workspaces",
        does="Founds a workspace, with you as its owner.",
        handle=create_workspace,
        answer=WorkspaceAnswer,
        body=Found,
        errors=(errors.LimitReached,),
        asker="person",
        statuses=(201,),
        changes=True,
    ),
    Call(
        method="PATCH",
        path="/api/workspaces/{workspace}",
        does="Renames a workspace, or decides whether newcomers may take names of machines that are online.",
        handle=change_workspace,
        answer=WorkspaceAnswer,
        body=Change,
        changes=True,
    ),
    Call(
        method="GET",
        path="/api/workspaces/{workspace}/audit",
        does="Shows who did what in a workspace, newest first, without other people's PRIVATE machines.",
        handle=list_audit,
        answer=AuditAnswer,
        query=AuditQuery,
        errors=(errors.Forbidden,),
    ),
)
