"""Shows what the authenticator remembers, and when it forgets."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
import pytest

from relay.errors import BadToken
from relay.registry import Change
from relay.registry.changes import Kind
from relay.rules import tokens
from relay.rules.access import Identity
from relay.rules.tokens import Secrets
from relay.web import auth
from relay.web.auth import Authenticator
from tests.web.site import SECRET

SECRETS = Secrets.parse(SECRET)
JANE = Identity("person", "jane", "Jane", "sign-in-1", {"acme": "member"}, {"acme": "acme"})


class Credentials:
    """A registry that counts how often it is asked."""

    def __init__(self) -> None:
        self.identity: Identity | None = JANE
        self.asked = 0
        self.began = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def find(self, hashes: Sequence[str], now_ms: int) -> Identity | None:
        """The identity of the moment, once it may answer."""
        self.asked += 1
        self.began.set()
        found = self.identity
        await self.may_answer.wait()
        return found


class Bench:
    """An authenticator with a registry and a clock in one's hand."""

    def __init__(self) -> None:
        self.credentials = Credentials()
        self.now_ms = 1_000_000
        self.authenticator = Authenticator(self.credentials, SECRETS, lambda: self.now_ms)

    @staticmethod
    def token(number: int = 0, kind: tokens.Kind = "pat") -> str:
        """A well-formed token."""
        return tokens.make(kind, number.to_bytes(tokens.RANDOM_BYTES))


def change(kind: Kind, subject: str, workspace: str | None = None) -> Change:
    """One row of the table of changes."""
    return Change(number=1, kind=kind, workspace=workspace, subject=subject, detail={})


@pytest.fixture
def bench() -> Bench:
    """A fresh one."""
    return Bench()


async def test_the_registry_is_asked_once_for_a_token(bench: Bench) -> None:
    for _ in range(3):
        assert await bench.authenticator.by_token(bench.token()) == JANE
    assert bench.credentials.asked == 1


async def test_what_the_registry_forgot_without_a_word_is_noticed_within_a_minute(bench: Bench) -> None:
    await bench.authenticator.by_token(bench.token())
    bench.credentials.identity = None
    bench.now_ms += auth.REMEMBERED_MS
    with pytest.raises(BadToken):
        await bench.authenticator.by_token(bench.token())


async def test_an_expiry_is_noticed_at_its_moment_and_without_asking(bench: Bench) -> None:
    bench.credentials.identity = msgspec.structs.replace(JANE, expires_ms=bench.now_ms + 1_000)
    bench.now_ms += 999
    await bench.authenticator.by_token(bench.token())
    bench.now_ms += 1
    with pytest.raises(BadToken):
        await bench.authenticator.by_token(bench.token())
    assert bench.credentials.asked == 1


@pytest.mark.parametrize(
    "change",
    [
        change("member", "jane", workspace=None),
        change("member", "somebody", workspace="acme"),
        change("credential", "sign-in-1"),
        change("workspace", "acme"),
    ],
    ids=["person", "member", "credential", "workspace"],
)
async def test_a_change_of_person_credential_or_workspace_is_forgotten_at_once(bench: Bench, change: Change) -> None:
    await bench.authenticator.by_token(bench.token())
    bench.authenticator.changed([change])
    bench.credentials.identity = None
    with pytest.raises(BadToken):
        await bench.authenticator.by_token(bench.token())


async def test_a_change_of_somebody_else_costs_nothing(bench: Bench) -> None:
    await bench.authenticator.by_token(bench.token())
    bench.authenticator.changed([change("member", "joe", workspace="other"), change("machine", "jane")])
    await bench.authenticator.by_token(bench.token())
    assert bench.credentials.asked == 1


async def test_a_change_during_the_look_up_is_not_lost(bench: Bench) -> None:
    """The registry answered before the change and the answer arrives after it: it must not be remembered."""
    bench.credentials.may_answer.clear()
    looking = asyncio.create_task(bench.authenticator.by_token(bench.token()))
    await bench.credentials.began.wait()
    bench.authenticator.changed([change("member", "jane")])
    bench.credentials.may_answer.set()
    await looking
    bench.credentials.identity = None
    with pytest.raises(BadToken):
        await bench.authenticator.by_token(bench.token())


async def test_a_fleet_that_shows_one_key_for_the_first_time_asks_the_registry_once(bench: Bench) -> None:
    bench.credentials.may_answer.clear()
    asking = [asyncio.create_task(bench.authenticator.by_token(bench.token())) for _ in range(50)]
    await bench.credentials.began.wait()
    bench.credentials.began.clear()
    asking[0].cancel()  # whoever asked for all may leave
    await bench.credentials.began.wait()
    bench.credentials.may_answer.set()
    assert await asyncio.gather(*asking[1:]) == [JANE] * 49
    assert bench.credentials.asked == 2


async def test_who_asks_after_a_change_gets_no_answer_to_a_question_from_before_it(bench: Bench) -> None:
    bench.credentials.may_answer.clear()
    early = asyncio.create_task(bench.authenticator.by_token(bench.token()))
    await bench.credentials.began.wait()
    bench.credentials.began.clear()
    bench.credentials.identity = None
    bench.authenticator.changed([change("member", "jane")])
    late = asyncio.create_task(bench.authenticator.by_token(bench.token()))
    await bench.credentials.began.wait()
    bench.credentials.may_answer.set()
    assert await early == JANE
    with pytest.raises(BadToken):
        await late


async def test_memory_is_bounded_and_the_longest_unused_goes_first(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "REMEMBERED", 2)
    for number in (0, 1, 0, 2, 0):
        await bench.authenticator.by_token(bench.token(number))
    assert bench.credentials.asked == 3
    await bench.authenticator.by_token(bench.token(1))
    assert bench.credentials.asked == 4


@pytest.mark.parametrize("kind", ["link", "tick"])
async def test_links_and_tickets_say_nothing_about_who_asks(bench: Bench, kind: tokens.Kind) -> None:
    with pytest.raises(BadToken):
        await bench.authenticator.by_token(bench.token(0, kind))
    assert bench.credentials.asked == 0


async def test_a_damaged_token_never_reaches_the_registry(bench: Bench) -> None:
    with pytest.raises(BadToken):
        await bench.authenticator.by_token(bench.token()[:-1] + "~")
    assert bench.credentials.asked == 0


async def test_a_claim_finds_the_identity_and_holds_no_secret(bench: Bench) -> None:
    claim = bench.authenticator.claim(bench.token())
    assert bench.token() not in claim
    assert await bench.authenticator.by_claim(claim) == JANE


async def test_clearing_forgets_everybody(bench: Bench) -> None:
    await bench.authenticator.by_token(bench.token())
    bench.authenticator.clear()
    await bench.authenticator.by_token(bench.token())
    assert bench.credentials.asked == 2


class Elsewhere:
    """A registry in which other nodes write: whoever catches up hears of it."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.made: Identity | None = None

    def away(self) -> bool:
        return False

    def vouched(self) -> bool:
        return True

    async def catch_up(self) -> None:
        """What was made is told, once."""
        made, self.made = self.made, None
        if made is not None:
            self.bench.credentials.identity = made
            self.bench.authenticator.changed([change("member", made.id, next(iter(made.roles)))])


async def test_what_another_node_gave_somebody_a_moment_ago_is_found_before_they_are_refused(bench: Bench) -> None:
    elsewhere = Elsewhere(bench)
    bench.authenticator = Authenticator(bench.credentials, SECRETS, lambda: bench.now_ms, elsewhere)
    headers = {"authorization": f"Bearer {bench.token()}"}
    before = await bench.authenticator.identity(headers, {})
    assert await bench.authenticator.anew(headers, {}, before) is None, "nothing has changed"
    elsewhere.made = msgspec.structs.replace(JANE, roles={"acme": "member", "new": "owner"})
    found = await bench.authenticator.anew(headers, {}, before)
    assert found is not None
    assert found.roles["new"] == "owner"
