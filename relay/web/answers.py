"""Shapes people and workspaces as several calls answer them."""

from __future__ import annotations

from relay.registry import Person, Workspace
from relay.rules.access import Identity, Role
from relay.rules.fields import Id
from relay.rules.machine import iso
from relay.web.bodies import Answer, Moment


class User(Answer):
    """Somebody, by id and name."""

    id: Id
    name: str


class Membership(Answer):
    """A workspace, and the asker's role in it."""

    id: Id
    name: str
    role: Role


class Link(Answer):
    """A link that works once; its secret is in the fragment, which no server ever sees."""

    url: str
    expires_at: Moment


def user(person: Person) -> User:
    """A person as answers name them."""
    return User(id=person.id, name=person.name)


def memberships(identity: Identity) -> list[Membership]:
    """The workspaces of whoever asks, by name."""
    found = [Membership(id=id, name=identity.workspaces[id], role=role) for id, role in identity.roles.items()]
    return sorted(found, key=lambda each: (each.name.casefold(), each.id))


def listed(workspaces: list[Workspace]) -> list[Membership]:
    """Workspaces as the registry lists them for a person."""
    return [Membership(id=each.id, name=each.name, role=each.role) for each in workspaces if each.role is not None]


def moment(ms: int | None) -> str | None:
    """A time as answers write it, or null."""
    return iso(ms) if ms is not None else None
