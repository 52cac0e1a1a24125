"""Lists, shows and changes machines."""

from __future__ import annotations

from bisect import bisect_right
from typing import Annotated

from msgspec import UNSET, Meta, UnsetType
from starlette.responses import Response

from relay import errors
from relay.errors import Close, Unavailable
from relay.node import listing
from relay.node.lines import Line
from relay.registry import Actor
from relay.rules import access, limits, machine
from relay.rules.fields import Id
from relay.rules.machine import Labels, Machine, Registered, Visibility, iso
from relay.web.bodies import Answer, Body, Moment, Query, answer, printable
from relay.web.call import Ask, Call, nothing
from relay.web.pages import read_cursor, unchanged, weak_tag, write_cursor, write_list

Name = Annotated[str, Meta(min_length=1, max_length=limits.NAME_CHARACTERS)]


class ListMachines(Query):
    """Which machines: of one workspace, only those online, those that the resolver would consider for `q`."""

    workspace: str | None = None
    online: bool = False
    q: Annotated[str, Meta(max_length=limits.QUERY_CHARACTERS)] = ""
    limit: Annotated[int, Meta(ge=1, le=limits.MACHINES_PER_WORKSPACE)] = limits.LIST_PAGE
    cursor: Annotated[str, Meta(min_length=1, max_length=1_024)] | None = None


class Rest(Answer):
    """What a list says beside its machines."""

    next: str | None  # the cursor of the page after this
    now: Moment


class Machines(Answer):
    """A page of machines by workspace and name, the cursor of the next page, and the moment that ages refer to."""

    machines: list[Machine]
    next: str | None
    now: Moment


class ChangeMachine(Body):
    """What to change; what is left out stays."""

    name: Name | UnsetType = UNSET
    labels: Labels | UnsetType = UNSET


class ChangeVisibility(Body):
    """To whom the machine shall exist."""

    visibility: Visibility


class Revoked(Answer):
    """A revocation, which is stored; how many sockets it closed, and which nodes have yet to confirm. Where it is not
    `refusedEverywhere`, Redis could not be told: until it is, a node that cannot read the registry knows nothing of
    the revocation, and may keep the machine's socket and let it in again."""

    id: Id
    revoked_at: Moment
    closed_connections: int
    unconfirmed_nodes: list[str]
    refused_everywhere: bool


class Kicked(Answer):
    """How many sockets were closed; the agent comes back by itself."""

    id: Id
    closed_connections: int
    unconfirmed_nodes: list[str]


async def list_machines(ask: Ask) -> Response:
    """The machines that the asker may see."""
    query: ListMachines = ask.query
    identity, directory = ask.identity, ask.parts.directory
    asked = [access.choose_workspace(identity, query.workspace)] if query.workspace else sorted(identity.roles)
    after = read_cursor(query.cursor, 3) if query.cursor else None
    found = await listing.seen(directory, identity, asked)
    tag = weak_tag(found.tag, ask.request)
    same = unchanged(ask.request, tag)
    if same is not None:
        return same
    if query.online:
        await found.keep_online()
    if query.q:
        await found.keep_matching(query.q)
    start = bisect_right(found.lines, after, key=_position) if after else 0
    page = found.lines[start : start + query.limit]
    more = start + query.limit < len(found.lines)
    rest = Rest(next=write_cursor(_position(page[-1])) if more else None, now=iso(ask.parts.clock()))
    return write_list("machines", await found.written(page), rest, tag)


async def get_machine(ask: Ask) -> Response:
    """One machine."""
    return answer(await ask.parts.directory.find(ask.identity, ask.id("machine")))


async def change_machine(ask: Ask) -> Response:
    """Another name, other labels."""
    body: ChangeMachine = ask.body
    row = await managed(ask, "rename")
    machines, actor = ask.parts.registry.machines, Actor.of(ask.identity)
    if body.labels is not UNSET:
        for key, value in body.labels.items():
            printable(key + value)
    if body.name is not UNSET:
        row = await machines.rename(row.id, body.name, actor, ask.parts.clock())
    if body.labels is not UNSET:
        row = await machines.relabel(row.id, body.labels, actor, ask.parts.clock())
    return answer(await shown(ask, row))


async def change_visibility(ask: Ask) -> Response:
    """Shown to the workspace, or to the owner alone."""
    body: ChangeVisibility = ask.body
    row = await managed(ask, "visibility")
    if body.visibility != row.visibility:
        actor = Actor.of(ask.identity)
        row = await ask.parts.registry.machines.set_visibility(row.id, body.visibility, actor, ask.parts.clock())
    return answer(await shown(ask, row))


async def revoke_machine(ask: Ask) -> Response:
    """Stored first, then mirrored, then every node that may hold the socket is asked to close it."""
    parts = ask.parts
    row = await managed(ask, "revoke", revoked=True)
    done = await parts.registry.machines.revoke(row.id, Actor.of(ask.identity), parts.clock())
    mirrored = False
    try:
        await parts.revocations.add(done.workspace, done.machine, done.number)
        mirrored = True
        await parts.presence.forget(done.workspace, done.machine)
    except Unavailable:
        pass  # it is stored; each node's tail mirrors it when Redis is back, before any agent is admitted
    closed, unconfirmed = await close_everywhere(ask, row.id, Close.MACHINE_REVOKED)
    body = Revoked(
        id=row.id,
        revoked_at=iso(done.revoked_ms),
        closed_connections=closed,
        unconfirmed_nodes=unconfirmed,
        refused_everywhere=mirrored,
    )
    return answer(body)


async def kick_machine(ask: Ask) -> Response:
    """The machine's socket closes, and its agent comes back. A node that hears of it late leaves the next one alone."""
    row = await managed(ask, "kick")
    try:
        record = await ask.parts.presence.locate(row.workspace, row.id)
    except Unavailable:
        record = None
    below = record.fence.generation + 1 if record is not None else None
    closed, unconfirmed = await close_everywhere(ask, row.id, Close.KICKED, below)
    return answer(Kicked(id=row.id, closed_connections=closed, unconfirmed_nodes=unconfirmed))


async def managed(ask: Ask, action: access.Action, *, revoked: bool = False) -> Registered:
    """The machine of the path as stored this moment; raises `NotFound` for who may not see it and `Forbidden` for who
    may not do this to it."""
    row = await ask.parts.registry.machines.get(ask.id("machine"), revoked=revoked)
    if not access.may(ask.identity, "see", row.workspace, row):
        raise nothing()
    if not access.may(ask.identity, action, row.workspace, row):
        raise errors.Forbidden("your role does not allow this on a machine that is not yours")
    return row


async def shown(ask: Ask, row: Registered) -> Machine:
    """A machine as just stored, with its presence; without Redis nothing worse than `degraded` is said of it."""
    can = access.capabilities(ask.identity, row)
    try:
        readout = await ask.parts.presence.read(row.workspace, [row.id])
    except Unavailable:
        return machine.describe(row, None, ask.parts.clock(), False, can)
    return machine.describe(row, readout.records.get(row.id), readout.now_ms, readout.settled, can)


async def close_everywhere(ask: Ask, id: str, code: Close, below: int | None = None) -> tuple[int, list[str]]:
    """Close a machine's sockets on all nodes, of an older generation if one is given. Without Redis those that were
    here before cannot be asked, who came since is unknown, and all find out by themselves."""
    router = ask.parts.router
    try:
        listed = [lease.boot for lease in await ask.parts.leases.live()]
    except Unavailable:
        closed, unconfirmed = await router.close_machine(id, code, [], below=below, carried=ask.carried)
        return closed, [*unconfirmed, *sorted(ask.parts.alive([])), "unknown"]
    return await router.close_machine(id, code, list(ask.parts.alive(listed)), below=below, carried=ask.carried)


def _position(each: Line) -> tuple[str, str, str]:
    return each.row.workspace, each.row.name, each.row.id


CALLS = (
    Call(
        method="GET",
        path="/api/machines",
        does="Lists the machines that you may see, in all your workspaces or in one; 304 if your ETag is current.",
        handle=list_machines,
        answer=Machines,
        query=ListMachines,
        errors=(errors.NotFound, errors.WorkspaceRequired),
        statuses=(200, 304),
    ),
    Call(
        method="GET",
        path="/api/machines/{machine}",
        does="Shows one machine.",
        handle=get_machine,
        answer=Machine,
    ),
    Call(
        method="PATCH",
        path="/api/machines/{machine}",
        does="Renames a machine or replaces its labels; the old name resolves for 24 hours more.",
        handle=change_machine,
        answer=Machine,
        body=ChangeMachine,
        errors=(errors.NameTaken,),
        changes=True,
    ),
    Call(
        method="PATCH",
        path="/api/machines/{machine}/visibility",
        does="Shows a machine to its workspace, or to its owner alone, which drops other people's attachments at once.",
        handle=change_visibility,
        answer=Machine,
        body=ChangeVisibility,
        errors=(errors.NameTaken, errors.Conflict),
        changes=True,
    ),
    Call(
        method="DELETE",
        path="/api/machines/{machine}",
        does="Revokes a machine for good and closes its socket wherever it is; again gives the same answer.",
        handle=revoke_machine,
        answer=Revoked,
        changes=True,
    ),
    Call(
        method="POST",
        path="/api/machines/{machine}/kick",
        does="Closes a machine's socket without revoking it; its agent comes back within seconds.",
        handle=kick_machine,
        answer=Kicked,
    ),
)
