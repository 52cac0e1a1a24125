"""Registers the machine of an agent and gives it its machine token."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta
from starlette.responses import Response

from relay import errors
from relay.registry import NewMachine
from relay.rules import access, ids, limits, names, tokens
from relay.rules.fields import Count, Hostname, Id
from relay.rules.machine import Labels, Machine, Registered, Visibility, describe, state_of
from relay.web.bodies import Answer, Body, Query, answer, printable
from relay.web.call import Ask, Call
from relay.web.machines import Name, shown


class Register(Body):
    """What an agent says of its machine; `again` after a revocation, on a person's word only."""

    hostname: Hostname
    version: Annotated[str, Meta(min_length=1, max_length=limits.TITLE_CHARACTERS)]
    instance_id: Id
    name: Name | None = None
    pid: Count | None = None  # shown from the agent's hello on; accepted here so that one shape serves both
    visibility: Visibility | None = None
    labels: Labels | None = None
    ephemeral: bool = False
    again: bool = False


class InWorkspace(Query):
    """The workspace, for who belongs to several: an id or a name."""

    workspace: str | None = None


class RegisteredAnswer(Answer):
    """The machine, the token its agent connects with, and how often it shall beat."""

    machine: Machine
    machine_token: str
    heartbeat_seconds: float


async def register_machine(ask: Ask) -> Response:
    """The agent's machine, new or found again."""
    body: Register = ask.body
    parts, identity = ask.parts, ask.identity
    workspace = access.choose_workspace(identity, ask.query.workspace)
    ask.allowed("register", workspace)
    if ids.canonical(body.instance_id) is None:
        raise errors.Invalid("instanceId is a lower-case UUID")
    for key, value in (body.labels or {}).items():
        printable(key + value)
    new = NewMachine(
        hostname=names.clean_hostname(body.hostname),
        version=printable(body.version),
        instance=body.instance_id,
        name=body.name,
        visibility=body.visibility,
        labels=body.labels,
        ephemeral=body.ephemeral,
        again=body.again,
    )

    async def is_online(holder: str) -> bool:
        row = await parts.registry.machines.get(holder)
        readout = await parts.presence.read(workspace, [holder])
        return state_of(row, readout.records.get(holder), readout.now_ms, readout.settled) != "offline"

    done = await parts.registry.machines.register(workspace, identity, new, is_online, parts.clock())
    token = tokens.sign_machine(parts.secrets, workspace, done.machine.id, done.token_version)
    beat_seconds = parts.rhythm().beat_seconds
    described = _described_new(ask, done.machine) if done.created else await shown(ask, done.machine)
    made = RegisteredAnswer(machine=described, machine_token=token, heartbeat_seconds=beat_seconds)
    return answer(made, 201 if done.created else 200)


def _described_new(ask: Ask, row: Registered) -> Machine:
    """A machine that nobody had heard of before, Redis included."""
    return describe(row, None, ask.parts.clock(), True, access.capabilities(ask.identity, row))


CALLS = (
    Call(
        method="POST",
        path="/api/machines",
        does="Registers the machine of an agent: SHARED with a workspace key, PRIVATE with a personal credential.",
        handle=register_machine,
        answer=RegisteredAnswer,
        body=Register,
        query=InWorkspace,
        errors=(
            errors.WorkspaceRequired,
            errors.NotFound,
            errors.NameTaken,
            errors.Conflict,
            errors.MachineRevoked,
            errors.LimitReached,
        ),
        statuses=(200, 201),
        changes=True,
    ),
)
