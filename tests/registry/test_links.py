"""Says that a link works once, in its time, for what it was made for."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from relay.errors import BadToken, Conflict, Gone, LimitReached, NotFound
from relay.registry import NewSignIn, SignedIn
from relay.rules import limits
from tests.registry.acme import DAY_MS, Acme, make_hash


def browser(acme: Acme) -> NewSignIn:
    """A browser that is about to be signed in."""
    return NewSignIn("web", make_hash(), "Firefox", acme.now_ms + DAY_MS)


async def sign_in_link(acme: Acme) -> str:
    """A link for Jane, as its hash."""
    hash = make_hash()
    await acme.registry.links.create_sign_in(acme.owner.id, hash, acme.now_ms + 1_000, acme.as_jane, acme.now_ms)
    return hash


async def invitation(acme: Acme) -> str:
    """A link into acme, as its hash."""
    hash = make_hash()
    await acme.registry.links.create_invitation(
        acme.id, "member", "Bob", hash, acme.now_ms + 1_000, acme.as_jane, acme.now_ms
    )
    return hash


async def test_a_sign_in_link_signs_in_and_may_say_ones_name(acme: Acme) -> None:
    new = browser(acme)
    done = await acme.registry.links.use_sign_in([await sign_in_link(acme)], new, acme.now_ms, "Jane Doe")
    assert (done.person.id, done.person.name) == (acme.owner.id, "Jane Doe")
    found = await acme.registry.credentials.find([new.hash], acme.now_ms)
    assert done.credential is not None
    assert found is not None
    assert (found.credential, found.name) == (done.credential.id, "Jane Doe")
    assert ("member", "renamed") in await acme.actions()


async def test_a_sign_in_link_works_once_even_for_two_at_once(acme: Acme) -> None:
    hash = await sign_in_link(acme)
    uses = [acme.registry.links.use_sign_in([hash], browser(acme), acme.now_ms) for _ in range(3)]
    done = await asyncio.gather(*uses, return_exceptions=True)
    assert sorted(type(one).__name__ for one in done) == ["Gone", "Gone", "SignedIn"]


async def test_a_link_is_worth_nothing_after_its_time_or_to_those_who_guess(acme: Acme) -> None:
    hash = await sign_in_link(acme)
    with pytest.raises(Gone):
        await acme.registry.links.use_sign_in([hash], browser(acme), acme.now_ms + 1_000)
    with pytest.raises(BadToken):
        await acme.registry.links.use_sign_in([make_hash()], browser(acme), acme.now_ms)
    with pytest.raises(BadToken):
        await acme.registry.links.accept([hash], "Eve", None, acme.now_ms)
    with pytest.raises(BadToken):
        await acme.registry.links.use_sign_in([await invitation(acme)], browser(acme), acme.now_ms)


async def test_an_invitation_makes_a_member_out_of_somebody_new(acme: Acme) -> None:
    new = browser(acme)
    done = await acme.registry.links.accept([await invitation(acme)], "Bob", new, acme.now_ms)
    assert (done.person.name, done.workspace) == ("Bob", acme.id)
    found = await acme.registry.credentials.find([new.hash], acme.now_ms)
    assert found is not None
    assert found.roles == {acme.id: "member"}
    assert (await acme.actions())[-1] == ("member", "joined")
    assert "member.joined" in await acme.trail()


async def test_an_invitation_works_once_even_for_two_at_once(acme: Acme) -> None:
    hash = await invitation(acme)
    done = await asyncio.gather(
        *[acme.registry.links.accept([hash], name, None, acme.now_ms) for name in ("Bob", "Eve")],
        return_exceptions=True,
    )
    assert sorted(type(one).__name__ for one in done) == ["Gone", "SignedIn"]
    assert len(await acme.registry.members.list(acme.id)) == 2


async def test_somebody_who_is_known_joins_as_who_they_are(acme: Acme) -> None:
    nomad = await acme.registry.people.create("Nomad", acme.now_ms)
    done = await acme.registry.links.accept([await invitation(acme)], nomad, None, acme.now_ms)
    assert done == SignedIn(person=nomad, credential=None, workspace=acme.id)
    assert await acme.registry.members.role(acme.id, nomad.id) == "member"


async def test_a_member_uses_no_invitation_up(acme: Acme) -> None:
    hash = await invitation(acme)
    with pytest.raises(Conflict):
        await acme.registry.links.accept([hash], acme.owner, None, acme.now_ms)
    assert await acme.registry.members.role(acme.id, acme.owner.id) == "owner"
    await acme.registry.links.accept([hash], "Bob", None, acme.now_ms)


async def test_nobody_joins_more_workspaces_than_they_may(acme: Acme, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WORKSPACES_PER_PERSON", 1)
    nomad = await acme.registry.people.create("Nomad", acme.now_ms)
    await acme.registry.links.accept([await invitation(acme)], nomad, None, acme.now_ms)
    other = await acme.registry.workspaces.create(
        "other", (await acme.registry.people.create("X", 1)).id, acme.as_jane, 1
    )
    hash = make_hash()
    await acme.registry.links.create_invitation(other.id, "member", "", hash, acme.now_ms + 9, acme.as_jane, 1)
    with pytest.raises(LimitReached):
        await acme.registry.links.accept([hash], nomad, None, acme.now_ms)


async def test_open_invitations_are_listed_and_can_be_withdrawn(acme: Acme) -> None:
    links = acme.registry.links
    hash = make_hash()
    made = await links.create_invitation(acme.id, "viewer", "Bob", hash, acme.now_ms + 1_000, acme.as_jane, acme.now_ms)
    assert await links.invitations(acme.id, acme.now_ms) == [made]
    assert await links.invitations(acme.id, acme.now_ms + 1_000) == []
    for _ in range(2):
        await links.withdraw(acme.id, made.id, acme.as_jane, acme.now_ms)
    assert await links.invitations(acme.id, acme.now_ms) == []
    with pytest.raises(Gone):
        await links.accept([hash], "Bob", None, acme.now_ms)


async def test_links_are_made_for_people_and_workspaces_that_exist(acme: Acme) -> None:
    links, nobody = acme.registry.links, str(uuid4())
    with pytest.raises(NotFound):
        await links.create_sign_in(nobody, make_hash(), acme.now_ms, acme.as_jane, acme.now_ms)
    with pytest.raises(NotFound):
        await links.create_invitation(nobody, "member", "", make_hash(), acme.now_ms, acme.as_jane, acme.now_ms)
    with pytest.raises(NotFound):
        await links.withdraw(acme.id, nobody, acme.as_jane, acme.now_ms)


async def test_links_that_are_long_over_are_forgotten(acme: Acme) -> None:
    used, expired, kept = await sign_in_link(acme), await invitation(acme), make_hash()
    await acme.registry.links.use_sign_in([used], browser(acme), acme.now_ms)
    await acme.registry.links.create_sign_in(acme.owner.id, kept, acme.now_ms + 9 * DAY_MS, acme.as_jane, acme.now_ms)
    assert await acme.registry.links.clean(acme.now_ms) == 0
    assert await acme.registry.links.clean(acme.now_ms + DAY_MS) == 2
    with pytest.raises(BadToken):
        await acme.registry.links.accept([expired], "Bob", None, acme.now_ms)
    await acme.registry.links.use_sign_in([kept], browser(acme), acme.now_ms)
