"""Tells stories about one workspace: its people, its keys, its machines, and a clock that only the story moves."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from relay.registry import (
    Actor,
    Mark,
    NewMachine,
    NewSignIn,
    Person,
    Registration,
    Registry,
    Settled,
    Workspace,
)
from relay.rules.access import Identity, Role
from relay.rules.machine import Registered

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
START_MS = 1_800_000_000_000


def make_hash() -> str:
    """What a registry is given instead of a token."""
    return f"0badcafe:{uuid4().hex}"


class Acme:
    """A workspace and everybody in it. Machines are online once `hello` was said, until they `leave`."""

    def __init__(self, registry: Registry, workspace: Workspace, owner: Person) -> None:
        self.registry = registry
        self.id = workspace.id
        self.workspace = workspace
        self.owner = owner
        self.jane = identity_of(owner, workspace, "owner")
        self.as_jane = Actor.of(self.jane)
        self.now_ms = START_MS
        self.online: set[str] = set()

    @classmethod
    async def found(cls, registry: Registry) -> Acme:
        """The first workspace of a cluster."""
        founded = await registry.workspaces.bootstrap("acme", "Jane", START_MS)
        return cls(registry, founded.workspace, founded.owner)

    def later(self, ms: int = 1_000) -> int:
        """Let time pass."""
        self.now_ms += ms
        return self.now_ms

    async def invite(self, name: str, role: Role = "member") -> Identity:
        """Somebody new, by invitation."""
        secret = make_hash()
        await self.registry.links.create_invitation(
            self.id, role, name, secret, self.now_ms + DAY_MS, self.as_jane, self.now_ms
        )
        joined = await self.registry.links.accept([secret], name, None, self.later())
        return identity_of(joined.person, self.workspace, role)

    async def key(self, name: str = "fleet") -> Identity:
        """A workspace key, as whoever shows it."""
        hash = make_hash()
        await self.registry.keys.create(self.id, hash, name, None, self.as_jane, self.later())
        found = await self.registry.credentials.find([hash], self.now_ms)
        assert found is not None
        return found

    async def sign_in(self, person: str, hash: str) -> str:
        """A browser of a person; the answer is the credential's id."""
        new = NewSignIn("web", hash, "Firefox", self.now_ms + DAY_MS)
        return (await self.registry.credentials.sign_in(person, new, self.now_ms)).id

    async def register(
        self, who: Identity, name: str | None = None, *, instance: str | None = None, **fields: Any
    ) -> Registration:
        """An agent registers; its machine is not online by that."""
        new = NewMachine(
            name=name,
            hostname=fields.pop("hostname", f"{name}.local"),
            version=fields.pop("version", "1.0.0"),
            instance=instance or str(uuid4()),
            **fields,
        )
        return await self.registry.machines.register(self.id, who, new, self.is_online, self.later())

    async def hello(self, registration: Registration) -> Settled:
        """The agent's first hello with what it registered."""
        settled = await self.registry.machines.settle(registration.machine.id, registration.token_version, self.later())
        self.online.add(registration.machine.id)
        return settled

    async def connect(self, who: Identity, name: str | None = None, **fields: Any) -> Registered:
        """Register and say hello."""
        return (await self.hello(await self.register(who, name, **fields))).machine

    def leave(self, machine: str) -> None:
        """The machine is offline from now on."""
        self.online.discard(machine)

    async def is_online(self, machine: str) -> bool:
        """What presence would say."""
        return machine in self.online

    async def get(self, machine: str) -> Registered:
        """The machine as the registry has it now."""
        return await self.registry.machines.get(machine)

    async def holders(self, name: str) -> list[str]:
        """Ids of the machines that hold a name."""
        listed = await self.registry.machines.list([self.id])
        return [machine.id for machine in listed if machine.name == name and machine.name_held]

    async def actions(self, *, since: int = 0) -> list[tuple[str, str]]:
        """The changes that nodes are told: kind and action."""
        return [(change.kind, change.detail["action"]) for change in await self.registry.changes.since(since)]

    async def trail(self, viewer: str | None = None) -> list[str]:
        """The audit trail's actions, newest first."""
        return [entry.action for entry in (await self.registry.audit.page(self.id, viewer)).entries]


def identity_of(person: Person, workspace: Workspace, role: Role) -> Identity:
    """A person as some credential of theirs shows them."""
    return Identity(
        "person", person.id, person.name, str(uuid4()), {workspace.id: role}, {workspace.id: workspace.name}
    )


def mark(machine: str, seen_ms: int, reason: Any, fence: str = "1:100:a") -> Mark:
    """What a sweeper found."""
    return Mark(machine, seen_ms, reason, fence)
