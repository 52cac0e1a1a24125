"""Says who is found behind a credential, and when nobody is."""

from __future__ import annotations

from uuid import uuid4

import pytest

from relay.errors import NotFound
from relay.registry import NewSignIn
from relay.rules.access import Identity
from tests.registry.acme import DAY_MS, Acme, make_hash


async def test_a_sign_in_finds_the_person_with_all_workspaces_and_roles(acme: Acme) -> None:
    other = await acme.registry.workspaces.create("other", acme.owner.id, acme.as_jane, acme.later())
    credential = await acme.sign_in(acme.owner.id, hash := make_hash())
    found = await acme.registry.credentials.find([make_hash(), hash], acme.now_ms)
    assert found == Identity(
        "person",
        acme.owner.id,
        "Jane",
        credential,
        {acme.id: "owner", other.id: "owner"},
        {acme.id: "acme", other.id: "other"},
        expires_ms=acme.now_ms + DAY_MS,
    )


async def test_a_key_is_a_member_of_its_workspace_and_nobody(acme: Acme) -> None:
    key = await acme.key("fleet")
    assert (key.kind, key.name, key.roles, key.workspaces) == ("key", "fleet", {acme.id: "member"}, {acme.id: "acme"})
    assert key.id == key.credential


async def test_somebody_without_a_workspace_is_still_somebody(acme: Acme) -> None:
    person = await acme.registry.people.create("Nomad", acme.now_ms)
    await acme.sign_in(person.id, hash := make_hash())
    found = await acme.registry.credentials.find([hash], acme.now_ms)
    assert found is not None
    assert (found.id, found.roles) == (person.id, {})


async def test_nobody_is_behind_an_unknown_expired_or_ended_credential(acme: Acme) -> None:
    find = acme.registry.credentials.find
    assert await find([make_hash()], acme.now_ms) is None
    assert await find([], acme.now_ms) is None
    credential = await acme.sign_in(acme.owner.id, hash := make_hash())
    assert await find([hash], acme.now_ms + DAY_MS - 1) is not None
    assert await find([hash], acme.now_ms + DAY_MS) is None
    assert await acme.registry.credentials.end(credential, acme.owner.id, acme.as_jane, acme.later())
    assert await find([hash], acme.now_ms) is None


async def test_an_ended_sign_in_is_told_to_every_node_once(acme: Acme) -> None:
    credential = await acme.sign_in(acme.owner.id, make_hash())
    before = await acme.registry.changes.latest()
    for expected in (True, False):
        ended = await acme.registry.credentials.end(credential, acme.owner.id, acme.as_jane, acme.later())
        assert ended is expected
    (change,) = await acme.registry.changes.since(before)
    assert (change.kind, change.subject, change.workspace) == ("credential", credential, None)


async def test_a_personal_token_outlives_the_sign_in_that_made_it(acme: Acme) -> None:
    credential = await acme.sign_in(acme.owner.id, make_hash())
    token = await acme.registry.credentials.create_token(
        acme.owner.id, hash := make_hash(), "ci", None, acme.as_jane, acme.later()
    )
    await acme.registry.credentials.end(credential, acme.owner.id, acme.as_jane, acme.later())
    found = await acme.registry.credentials.find([hash], acme.now_ms + 1_000 * DAY_MS)
    assert found is not None
    assert found.credential == token.id


async def test_a_person_sees_their_own_current_sign_ins_and_tokens_newest_first(acme: Acme) -> None:
    credentials = acme.registry.credentials
    first = await acme.sign_in(acme.owner.id, make_hash())
    acme.later()
    cli = await credentials.sign_in(
        acme.owner.id, NewSignIn("cli", make_hash(), "laptop", acme.now_ms + 5), acme.now_ms
    )
    token = await credentials.create_token(
        acme.owner.id, make_hash(), "ci", acme.now_ms + DAY_MS, acme.as_jane, acme.now_ms
    )
    bob = await acme.invite("Bob")
    acme.now_ms = cli.created_ms
    assert [one.id for one in await credentials.sign_ins(acme.owner.id, acme.now_ms)] == [cli.id, first]
    assert [one.id for one in await credentials.sign_ins(acme.owner.id, acme.now_ms + 5)] == [first]
    assert await credentials.tokens(acme.owner.id, acme.now_ms) == [token]
    assert await credentials.tokens(bob.id, acme.now_ms) == []


async def test_nobody_ends_somebody_elses_credential(acme: Acme) -> None:
    bob = await acme.invite("Bob")
    credential = await acme.sign_in(acme.owner.id, make_hash())
    for id in (credential, str(uuid4())):
        with pytest.raises(NotFound):
            await acme.registry.credentials.end(id, bob.id, acme.as_jane, acme.later())


async def test_only_people_who_exist_sign_in(acme: Acme) -> None:
    with pytest.raises(NotFound):
        await acme.sign_in(str(uuid4()), make_hash())


async def test_what_is_long_over_is_forgotten_and_keys_are_kept_for_the_trail(acme: Acme) -> None:
    await acme.sign_in(acme.owner.id, make_hash())
    key = await acme.key()
    await acme.registry.keys.revoke(acme.id, key.id, acme.as_jane, acme.later())
    assert await acme.registry.credentials.clean(acme.now_ms) == 0
    assert await acme.registry.credentials.clean(acme.now_ms + 2 * DAY_MS) == 1


async def test_a_role_in_the_database_does_not_make_a_key_more_than_a_member(acme: Acme) -> None:
    assert (await acme.key()).roles == {acme.id: "member"}
