"""Says what the audit trail shows, and to whom."""

from __future__ import annotations

from relay.registry import Actor
from tests.registry.acme import Acme


async def test_the_trail_names_who_did_what_newest_first(acme: Acme) -> None:
    machine = await acme.connect(acme.jane, "mac", visibility="SHARED")
    await acme.registry.machines.rename(machine.id, "studio", acme.as_jane, acme.later())
    entry, *_ = (await acme.registry.audit.page(acme.id, None)).entries
    assert (entry.action, entry.subject, entry.workspace) == ("machine.renamed", machine.id, acme.id)
    assert (entry.actor, entry.at_ms) == (Actor("person", acme.owner.id, "Jane"), acme.now_ms)
    assert entry.detail == {"before": "mac", "name": "studio"}


async def test_pages_follow_each_other_without_gap_or_repetition(acme: Acme) -> None:
    for index in range(5):
        await acme.key(f"key-{index}")
    whole = (await acme.registry.audit.page(acme.id, None)).entries
    found, cursor = [], None
    while True:
        page = await acme.registry.audit.page(acme.id, None, cursor, 2)
        assert len(page.entries) <= 2
        found += page.entries
        cursor = page.next
        if cursor is None:
            break
    assert found == whole


async def test_a_private_machine_is_in_its_owners_trail_alone(acme: Acme) -> None:
    bob = await acme.invite("Bob", "admin")
    await acme.connect(acme.jane, "mac")
    assert "machine.registered" in await acme.trail(acme.owner.id)
    assert "machine.registered" not in await acme.trail(bob.id)
    assert "machine.registered" not in await acme.trail(None)


async def test_another_workspaces_trail_is_its_own(acme: Acme) -> None:
    other = await acme.registry.workspaces.create("other", acme.owner.id, acme.as_jane, acme.later())
    page = await acme.registry.audit.page(other.id, acme.owner.id)
    assert [entry.action for entry in page.entries] == ["workspace.created"]
