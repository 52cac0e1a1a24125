"""Lists and changes who belongs to a workspace, and invites people into it."""

from __future__ import annotations

from starlette.responses import Response

from relay import errors
from relay.registry import Actor, Invitation, Member
from relay.rules import access, timing, tokens
from relay.rules.access import Role
from relay.rules.fields import Id
from relay.rules.machine import iso
from relay.web import rate
from relay.web.answers import User, user
from relay.web.bodies import Answer, Body, Moment, Title, answer, printable
from relay.web.call import Ask, Call, nothing
from relay.web.signin import DAY_MS


class MemberAnswer(Answer):
    """A person in a workspace."""

    user: User
    role: Role
    joined_at: Moment


class Members(Answer):
    """Everybody in a workspace, by name."""

    members: list[MemberAnswer]


class ChangeRole(Body):
    """The new role; only owners make and unmake owners."""

    role: Role


class RemovedAnswer(Answer):
    """What became of the machines of somebody who left: PRIVATE ones are revoked, SHARED ones have a new owner."""

    user: Id
    revoked_machines: list[Id]
    passed_machines: list[Id]
    heir: User


class Invite(Body):
    """The role that an invitation gives, and whom it is meant for."""

    role: Role = "member"
    name: Title | None = None


class InvitationAnswer(Answer):
    """An invitation that nobody has used yet."""

    id: Id
    role: Role
    name: str
    created_at: Moment
    expires_at: Moment


class NewInvitation(InvitationAnswer):
    """A new invitation with its link, whose secret is told only now."""

    url: str


class Invitations(Answer):
    """Open invitations, newest first."""

    invitations: list[InvitationAnswer]


class Withdrawn(Answer):
    """The invitation that is worthless now."""

    id: Id


async def list_members(ask: Ask) -> Response:
    """Who belongs to the workspace."""
    workspace = ask.id("workspace")
    ask.allowed("see", workspace)
    found = await ask.parts.registry.members.list(workspace)
    return answer(Members(members=[_member(each) for each in found]))


async def change_member(ask: Ask) -> Response:
    """Another role."""
    body: ChangeRole = ask.body
    parts, workspace, person = ask.parts, ask.id("workspace"), ask.id("user")
    ask.allowed("members", workspace)
    await _guard_owners(ask, workspace, person, body.role)
    actor = Actor.of(ask.identity)
    changed = await parts.registry.members.set_role(workspace, person, body.role, actor, parts.clock())
    return answer(_member(changed))


async def remove_member(ask: Ask) -> Response:
    """Out of the workspace: by an admin, or by oneself."""
    parts, workspace, person = ask.parts, ask.id("workspace"), ask.id("user")
    if person != ask.identity.person:
        ask.allowed("members", workspace)
        await _guard_owners(ask, workspace, person, None)
    else:
        ask.allowed("see", workspace)
    removed = await parts.registry.members.remove(workspace, person, Actor.of(ask.identity), parts.clock())
    body = RemovedAnswer(
        user=person, revoked_machines=removed.revoked, passed_machines=removed.passed, heir=user(removed.heir)
    )
    return answer(body)


async def create_invitation(ask: Ask) -> Response:
    """A link that brings somebody in."""
    body: Invite = ask.body
    parts, workspace = ask.parts, ask.id("workspace")
    ask.allowed("members", workspace)
    if body.role == "owner":
        ask.allowed("workspace", workspace)
    await rate.take(parts.rates, rate.INVITE, ask.address)
    secret = tokens.make("link", parts.randomness(tokens.RANDOM_BYTES))
    now_ms = parts.clock()
    made = await parts.registry.links.create_invitation(
        workspace,
        body.role,
        printable(body.name) if body.name is not None else "",
        parts.secrets.hash(secret),
        now_ms + timing.INVITATION_DAYS * DAY_MS,
        Actor.of(ask.identity),
        now_ms,
    )
    url = f"{parts.settings.public_url}/#invite={secret}"
    return answer(_invitation(NewInvitation, made, url=url), 201)


async def list_invitations(ask: Ask) -> Response:
    """Who is expected."""
    workspace = ask.id("workspace")
    ask.allowed("members", workspace)
    found = await ask.parts.registry.links.invitations(workspace, ask.parts.clock())
    return answer(Invitations(invitations=[_invitation(InvitationAnswer, each) for each in found]))


async def withdraw_invitation(ask: Ask) -> Response:
    """Nobody can use it any more."""
    parts, workspace, id = ask.parts, ask.id("workspace"), ask.id("invitation")
    ask.allowed("members", workspace)
    await parts.registry.links.withdraw(workspace, id, Actor.of(ask.identity), parts.clock())
    return answer(Withdrawn(id=id))


async def _guard_owners(ask: Ask, workspace: str, person: str, role: Role | None) -> None:
    """Raises `NotFound` for strangers, and `Forbidden` when somebody but an owner makes or touches an owner."""
    held = await ask.parts.registry.members.role(workspace, person)
    if held is None:
        raise nothing()
    if "owner" in (held, role) and not access.may(ask.identity, "workspace", workspace):
        raise errors.Forbidden("only owners make and unmake owners")


def _member(member: Member) -> MemberAnswer:
    return MemberAnswer(user=user(member.person), role=member.role, joined_at=iso(member.joined_ms))


def _invitation(kind: type[InvitationAnswer], made: Invitation, **more: str) -> InvitationAnswer:
    return kind(
        id=made.id,
        role=made.role,
        name=made.name,
        created_at=iso(made.created_ms),
        expires_at=iso(made.expires_ms),
        **more,
    )


CALLS = (
    Call(
        method="GET",
        path="/api/workspaces/{workspace}/members",
        does="Lists who belongs to a workspace.",
        handle=list_members,
        answer=Members,
    ),
    Call(
        method="PATCH",
        path="/api/workspaces/{workspace}/members/{user}",
        does="Changes somebody's role; there is always an owner, and only owners make owners.",
        handle=change_member,
        answer=MemberAnswer,
        body=ChangeRole,
        errors=(errors.Conflict,),
        changes=True,
    ),
    Call(
        method="DELETE",
        path="/api/workspaces/{workspace}/members/{user}",
        does="Removes somebody, or yourself: PRIVATE machines are revoked, SHARED ones pass to the workspace's owner.",
        handle=remove_member,
        answer=RemovedAnswer,
        errors=(errors.Conflict,),
        changes=True,
    ),
    Call(
        method="POST",
        path="/api/workspaces/{workspace}/invitations",
        does="Makes a link that brings one person into a workspace, once, within seven days.",
        handle=create_invitation,
        answer=NewInvitation,
        body=Invite,
        errors=(errors.LimitReached,),
        statuses=(201,),
    ),
    Call(
        method="GET",
        path="/api/workspaces/{workspace}/invitations",
        does="Lists invitations that nobody has used yet.",
        handle=list_invitations,
        answer=Invitations,
        errors=(errors.Forbidden,),
    ),
    Call(
        method="DELETE",
        path="/api/workspaces/{workspace}/invitations/{invitation}",
        does="Makes an invitation worthless.",
        handle=withdraw_invitation,
        answer=Withdrawn,
    ),
)
