"""Decides who may do what: one table of roles and actions that REST, sockets and CLI all ask."""

from __future__ import annotations

from enum import Enum
from typing import Literal

from msgspec import Struct

from relay.errors import NotFound, WorkspaceRequired
from relay.rules.machine import Registered
from relay.rules.names import fold
from relay.rules.quoting import quote

Role = Literal["owner", "admin", "member", "viewer"]
Action = Literal[
    "see",
    "watch",
    "drive",  # attach with the keyboard, exec, open and end sessions
    "register",
    "rename",  # name and labels
    "visibility",
    "kick",
    "revoke",
    "take-name",  # register under the name that this machine holds, or as this machine if it is offline
    "members",
    "keys",
    "audit",
    "workspace",
]


class Identity(Struct, frozen=True):
    """Who is asking, as found by a credential."""

    kind: Literal["person", "key"]
    id: str  # person id, or key id
    name: str
    credential: str  # id of the sign-in, token or key row
    roles: dict[str, Role]  # by workspace id
    workspaces: dict[str, str]  # names by workspace id
    expires_ms: int | None = None  # when the credential ends by itself, Unix milliseconds

    @property
    def person(self) -> str | None:
        """The person's id, or None for a key, which owns nothing."""
        return self.id if self.kind == "person" else None


class Reach(Enum):
    """How far an action reaches. No reach passes a PRIVATE machine of somebody else: it does not exist for you."""

    NO = "nothing"
    OWN = "machines that one owns"
    KIN = "machines that one owns; for a key, machines that a key registered"
    ALL = "every machine that one sees, and the workspace itself"


NO, OWN, KIN, ALL = Reach.NO, Reach.OWN, Reach.KIN, Reach.ALL

COLUMNS: tuple[Role, ...] = ("viewer", "member", "admin", "owner")
TABLE: dict[Action, tuple[Reach, Reach, Reach, Reach]] = {
    #              viewer  member  admin  owner
    "see":         (ALL,   ALL,    ALL,   ALL),
    "watch":       (ALL,   ALL,    ALL,   ALL),
    "drive":       (NO,    ALL,    ALL,   ALL),
    "register":    (NO,    ALL,    ALL,   ALL),
    "rename":      (NO,    OWN,    ALL,   ALL),
    "visibility":  (NO,    OWN,    ALL,   ALL),
    "kick":        (NO,    OWN,    ALL,   ALL),
    "revoke":      (OWN,   OWN,    ALL,   ALL),
    "take-name":   (NO,    KIN,    ALL,   ALL),
    "members":     (NO,    NO,     ALL,   ALL),
    "keys":        (NO,    NO,     ALL,   ALL),
    "audit":       (NO,    NO,     ALL,   ALL),
    "workspace":   (NO,    NO,     NO,    ALL),
}  # fmt: skip


# Lists ask for every machine, so the table is laid out once for one look-up an answer.
_REACH: dict[tuple[Role | None, Action], Reach] = {
    (role, action): row[column] for action, row in TABLE.items() for column, role in enumerate(COLUMNS)
}
_SHOWN: tuple[tuple[str, Action], ...] = (("watch", "watch"), ("drive", "drive"), ("manage", "rename"))


def may(identity: Identity, action: Action, workspace: str, machine: Registered | None = None) -> bool:
    """Whether `identity` may do `action` in a workspace, and to this machine if one is given."""
    reach = _REACH.get((_role(identity, workspace), action), Reach.NO)
    if machine is None:
        return reach is Reach.ALL
    return machine.workspace == workspace and _visible(identity, machine) and _reaches(reach, identity, machine)


def may_appoint(identity: Identity, workspace: str, before: Role | None, after: Role | None) -> bool:
    """Whether `identity` may change a member's role, None being no member; whoever touches an owner must be one."""
    return may(identity, "workspace" if "owner" in (before, after) else "members", workspace)


def capabilities(identity: Identity, machine: Registered) -> list[str]:
    """What the outside is told it may do with a machine: some of "watch", "drive", "manage"."""
    role = _role(identity, machine.workspace)
    if not _visible(identity, machine):
        return []
    return [word for word, action in _SHOWN if _reaches(_REACH.get((role, action), Reach.NO), identity, machine)]


def choose_workspace(identity: Identity, asked: str | None) -> str:
    """The workspace a request is about, by id or name; raises `WorkspaceRequired` or `NotFound`."""
    if asked is None:
        if not identity.roles:
            raise NotFound("you belong to no workspace")
        if len(identity.roles) > 1:
            raise WorkspaceRequired("you belong to several workspaces: name one", workspaces=_listed(identity))
        return next(iter(identity.roles))
    if asked in identity.roles:
        return asked
    named = [id for id, name in identity.workspaces.items() if id in identity.roles and fold(name) == fold(asked)]
    if not named:
        raise NotFound(f"no workspace matches {quote(asked)}")
    if len(named) > 1:
        message = f"several workspaces are called {quote(asked)}: use an id"
        raise WorkspaceRequired(message, workspaces=_listed(identity))
    return named[0]


def _role(identity: Identity, workspace: str) -> Role | None:
    role = identity.roles.get(workspace)
    if identity.kind == "key" and role in COLUMNS:
        return "member"  # whatever a row may say, a key is never more
    return role


def _reaches(reach: Reach, identity: Identity, machine: Registered) -> bool:
    if reach is Reach.ALL:
        return True
    if reach is Reach.NO:
        return False
    if reach is Reach.KIN and identity.kind == "key":
        return machine.owner is None
    return _owns(identity, machine)


def _visible(identity: Identity, machine: Registered) -> bool:
    return machine.visibility == "SHARED" or _owns(identity, machine)


def _owns(identity: Identity, machine: Registered) -> bool:
    return machine.owner is not None and identity.person == machine.owner.id


def _listed(identity: Identity) -> list[dict[str, str]]:
    return [{"id": id, "name": identity.workspaces.get(id, "")} for id in sorted(identity.roles)]
