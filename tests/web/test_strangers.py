"""Shows that tokens which nobody has cost the registry one look each, and only so many from one address."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

import pytest

from relay.errors import BadToken, LimitReached
from relay.registry import Change
from relay.rules import tokens
from relay.rules.access import Identity
from relay.rules.limits import UNKNOWN_TOKENS, UNKNOWN_TOKENS_AT_ONCE, UNKNOWN_TOKENS_PER_SECOND
from relay.rules.tokens import Secrets
from relay.web import strangers
from relay.web.auth import Authenticator
from tests.web.site import SECRET, Site

JANE = Identity("person", "jane", "Jane", "sign-in-1", {"acme": "member"}, {"acme": "acme"})
HERE, THERE = "192.0.2.1", "192.0.2.2"


def token(number: int) -> str:
    """A sound one."""
    return tokens.make("pat", number.to_bytes(tokens.RANDOM_BYTES))


class Door:
    """An authenticator whose registry counts how often it is asked, and whose clock is in one's hand."""

    def __init__(self) -> None:
        self.known: set[str] = set()  # hashes of tokens that somebody has
        self.asked = self.asking = self.asked_at_once = 0
        self.now_ms = 1_000_000
        self.limits: list[str] = []
        self.secrets = Secrets.parse(SECRET)
        self.authenticator = Authenticator(self, self.secrets, lambda: self.now_ms, None, self.limits.append)

    async def find(self, hashes: Sequence[str], now_ms: int) -> Identity | None:
        """The registry."""
        self.asked += 1
        self.asking += 1
        self.asked_at_once = max(self.asked_at_once, self.asking)
        await asyncio.sleep(0)  # others come meanwhile
        self.asking -= 1
        return None if self.known.isdisjoint(hashes) else JANE

    def give(self, number: int) -> None:
        """Somebody has this token now, and the registry says that something changed."""
        self.known |= set(self.secrets.hashes(token(number)))
        self.authenticator.changed([Change(number=1, kind="credential", workspace=None, subject="new", detail={})])

    async def tries(self, number: int, address: str = HERE) -> str:
        """What somebody is told who comes with this token."""
        try:
            found = await self.authenticator.identity({"authorization": f"Bearer {token(number)}"}, {}, lambda: address)
        except (BadToken, LimitReached) as error:
            return error.code
        return found.name

    async def try_at_once(self, numbers: Iterable[int], address: str = HERE) -> list[str]:
        """What they are told who come at once with these tokens."""
        return list(await asyncio.gather(*(self.tries(number, address) for number in numbers)))


@pytest.fixture
def door() -> Door:
    """A fresh one."""
    return Door()


async def test_a_token_that_nobody_has_is_looked_up_once_a_minute(door: Door) -> None:
    assert {await door.tries(1) for _ in range(500)} == {BadToken.code}
    assert door.asked == 1
    door.now_ms += strangers.REMEMBERED_MS
    assert await door.tries(1) == BadToken.code
    assert door.asked == 2
    assert door.limits == []


async def test_a_token_that_is_made_after_all_works_with_the_next_change_that_is_read(door: Door) -> None:
    assert await door.tries(1) == BadToken.code
    door.give(1)
    assert await door.tries(1) == JANE.name


async def test_an_address_that_goes_on_trying_is_told_to_wait_and_the_registry_is_asked_little(door: Door) -> None:
    for number in range(UNKNOWN_TOKENS):
        assert await door.tries(number) == BadToken.code
    many = 10 * UNKNOWN_TOKENS_AT_ONCE
    told = await door.try_at_once(range(1_000, 1_000 + many))
    turned_away = many - UNKNOWN_TOKENS_AT_ONCE
    assert told == [BadToken.code] * UNKNOWN_TOKENS_AT_ONCE + [LimitReached.code] * turned_away
    assert (door.asked, door.asked_at_once) == (UNKNOWN_TOKENS + UNKNOWN_TOKENS_AT_ONCE, UNKNOWN_TOKENS_AT_ONCE)
    assert door.limits == ["UNKNOWN_TOKENS"] * turned_away
    assert await door.tries(UNKNOWN_TOKENS, THERE) == BadToken.code


async def test_an_address_that_waited_may_try_so_many_a_second_as_if_nothing_had_been(door: Door) -> None:
    for number in range(UNKNOWN_TOKENS):
        assert await door.tries(number) == BadToken.code
    door.now_ms += 1_000
    for number in range(UNKNOWN_TOKENS_PER_SECOND):
        assert await door.tries(1_000 + number) == BadToken.code
    told = await door.try_at_once(range(2_000, 2_000 + UNKNOWN_TOKENS_AT_ONCE + 1))
    assert told == [BadToken.code] * UNKNOWN_TOKENS_AT_ONCE + [LimitReached.code]


async def test_who_shares_an_address_with_somebody_who_guesses_gets_in_with_a_sound_token(door: Door) -> None:
    door.give(5_000)
    for number in range(UNKNOWN_TOKENS):
        await door.tries(number)
    assert await door.tries(5_000) == JANE.name


async def test_credentials_that_end_together_are_each_found_to_have_ended_and_cost_nobody_else_theirs(
    door: Door,
) -> None:
    door.give(5_000)
    for number in range(3 * UNKNOWN_TOKENS):  # of browsers that are asked again, after many were signed out at once
        with pytest.raises(BadToken):
            await door.authenticator.by_claim(door.authenticator.claim(token(number)))
    ended = [door.authenticator.claim(token(9_000 + number)) for number in range(10 * UNKNOWN_TOKENS_AT_ONCE)]
    told = await asyncio.gather(*map(door.authenticator.by_claim, ended), return_exceptions=True)
    assert {type(each) for each in told} == {BadToken}
    assert (await door.authenticator.by_claim(door.authenticator.claim(token(5_000)))).name == JANE.name
    assert door.limits == []


async def test_who_is_known_pays_nothing_and_may_come_from_an_address_that_has_to_wait(door: Door) -> None:
    door.give(0)
    assert await door.tries(0) == JANE.name
    for number in range(1, UNKNOWN_TOKENS + 2):
        await door.tries(number)
    assert await door.tries(0) == JANE.name


async def test_what_is_remembered_is_bounded(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strangers, "REMEMBERED", 3)
    for number in range(5):
        await door.tries(number, f"192.0.2.{number}")
    kept = door.authenticator._strangers
    assert len(kept._tokens) == len(kept._levels) == 3


async def test_an_address_that_has_to_wait_is_answered_429(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strangers, "UNKNOWN_TOKENS", 2)
    monkeypatch.setattr(strangers, "UNKNOWN_TOKENS_PER_SECOND", 0.001)
    monkeypatch.setattr(strangers, "UNKNOWN_TOKENS_AT_ONCE", 0)  # as if others were being looked up
    answers = []
    for number in (0, 1, 2, 0):
        async with site.client(token(number), peer=HERE) as client:
            answers.append(await client.get("/api/workspaces"))
    assert [answer.json()["code"] for answer in answers] == [
        BadToken.code,
        BadToken.code,
        LimitReached.code,
        BadToken.code,
    ]
    waits = answers[2]
    assert (waits.status_code, waits.json()["limit"], waits.headers["retry-after"]) == (429, "UNKNOWN_TOKENS", "1")
