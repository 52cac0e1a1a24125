"""Registers machines: decides with the rules who becomes which machine, many at once and each for itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct

from relay.errors import Forbidden, LimitReached, MachineRevoked, NameTaken, NotFound, RelayError, Unavailable
from relay.registry import enrolment
from relay.registry.audit import SYSTEM
from relay.registry.database import Database
from relay.registry.enrolment import Decided
from relay.registry.enrolment import Registration as Registration
from relay.registry.premises import NewMachine as NewMachine
from relay.registry.premises import Premises, Wish
from relay.registry.registrars import Who
from relay.registry.together import Later, Together
from relay.registry.writing import Write, commit
from relay.rules import limits, names
from relay.rules.access import Identity, may
from relay.rules.machine import Registered
from relay.rules.quoting import quote

HOLDER_ATTEMPTS = 5  # the name passed to yet another machine while presence was asked about its holder

IsOnline = Callable[[str], Awaitable[bool]]  # whether the machine with this id is online, asked of presence


class Ask(Struct, frozen=True):
    """Presence has to be asked about this machine before anything can be decided."""

    machine: str


class Timed(Struct, frozen=True):
    """A wish, and when it was made."""

    wish: Wish
    now_ms: int


Registrations = Together[Timed, "Registration | Ask"]


def registrations(database: Database) -> Registrations:
    """Where registrations wait for those that are under way in their workspace."""

    async def work(workspace: str, timed: Sequence[Timed]) -> Sequence[Registration | Ask | RelayError | Later]:
        wishes, now_ms = [each.wish for each in timed], max(each.now_ms for each in timed)
        return await commit(database, SYSTEM, now_ms, lambda write: _attempt(write, workspace, wishes))

    return Together(work, database.answer_seconds)


async def register(
    together: Registrations, workspace: str, identity: Identity, new: NewMachine, is_online: IsOnline, now_ms: int
) -> Registration:
    """See `Machines.register`. Each attempt is in one transaction; presence is asked between them, never inside."""
    online: dict[str, bool] = {}
    wish = Wish(Who(identity.kind, identity.id, identity.name), new, online)
    for _ in range(HOLDER_ATTEMPTS):
        answer = await together.do(workspace, Timed(wish, now_ms))
        if isinstance(answer, Registration):
            return answer
        try:
            online[answer.machine] = await is_online(answer.machine)
        except NotFound:  # revoked since; the next attempt finds whoever holds the name then
            continue
    raise Unavailable("this name changes hands too fast to be registered now")


async def _attempt(
    write: Write, workspace: str, wishes: Sequence[Wish]
) -> list[Registration | Ask | RelayError | Later]:
    """Decide all before anything is written, so that what one is refused for leaves nothing behind. Those that meet
    another of these wishes are done in a later transaction, when that shows in the tables."""
    premises = Premises(await write.lock_workspace(workspace))
    await premises.read(write, wishes)
    answers: list[Registration | Ask | RelayError | Later] = []
    decided: dict[int, Decided] = {}
    met: set[tuple[str, ...]] = set()
    created = 0
    for number, wish in enumerate(wishes):
        try:
            outcome = _decide(premises, wish, premises.machines + created)
        except RelayError as error:
            answers.append(error)
            continue
        if isinstance(outcome, Ask):
            answers.append(outcome)
            continue
        touched = _touched(wish, outcome)
        answers.append("later")
        if met.isdisjoint(touched):
            decided[number] = outcome
            created += outcome.machine is None
        met |= touched
    done = await enrolment.enrol(write, premises, list(decided.values()))
    for number, registration in zip(decided, done, strict=True):
        answers[number] = registration
    return answers


def _touched(wish: Wish, outcome: Decided) -> set[tuple[str, ...]]:
    """What nobody else in the same transaction may touch."""
    touched = {("instance", wish.new.instance), ("name", outcome.wanted.scope, names.fold(outcome.wanted.name))}
    return touched | {("machine", machine.id) for machine in (outcome.machine, outcome.takes) if machine is not None}


def _decide(premises: Premises, wish: Wish, machines: int) -> Decided | Ask:
    """Who the machine is; raises what the registration is refused for."""
    workspace, registrar, new = premises.workspace, premises.registrar(wish), wish.new
    if not may(registrar, "register", workspace):
        raise Forbidden("you may not register machines in this workspace")
    known = premises.known(wish)
    wanted, holder = premises.wanted(wish, known)
    if holder is not None and holder.id not in wish.online and (known is None or holder.id != known.id):
        return Ask(holder.id)
    facts = names.Facts(
        wanted=wanted,
        known=known,
        revoked=known is None and premises.revoked(wish),
        again=new.again,
        holder=holder,
        holder_online=holder is not None and wish.online.get(holder.id, False),
        may_take=holder is not None and may(registrar, "take-name", workspace, holder),
        policy=premises.policy,
    )
    machine: Registered | None = None
    takes: Registered | None = None
    match names.decide_registration(facts):
        case names.StillRevoked():
            raise MachineRevoked("this machine was revoked; `relay serve --register-again` registers it anew")
        case names.NameRefused():
            raise NameTaken(f"the name {quote(wanted.name)} is taken: choose another with --name")
        case names.NewMachine(takes):
            if machines >= limits.MACHINES_PER_WORKSPACE:
                raise LimitReached(
                    f"a workspace has at most {limits.MACHINES_PER_WORKSPACE} machines", limit="MACHINES_PER_WORKSPACE"
                )
        case names.SameMachine(machine, takes):
            pass
        case names.Successor(machine):
            pass
    return Decided(wish, wanted, machine, takes, forgotten=facts.revoked)
