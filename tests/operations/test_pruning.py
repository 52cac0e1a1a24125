"""Says what pruning takes, what it leaves, and that nobody comes back by it."""

from __future__ import annotations

import pytest

from relay.errors import MachineRevoked, NotFound
from relay.registry import pruning
from relay.registry.pruning import Noun
from tests.registry.acme import DAY_MS, Acme, make_hash

ALL: tuple[Noun, ...] = ("credentials", "links", "machines", "audit entries")


async def test_what_ended_long_ago_goes_and_what_ended_lately_or_not_at_all_stays(acme: Acme) -> None:
    hashes = [make_hash() for _ in range(3)]
    sign_ins = [await acme.sign_in(acme.owner.id, hash) for hash in hashes]
    old, late, kept = [await acme.connect(acme.jane, name) for name in ("old", "late", "kept")]
    await acme.registry.credentials.end(sign_ins[0], acme.owner.id, acme.as_jane, acme.now_ms)
    await acme.registry.machines.revoke(old.id, acme.as_jane, acme.later())
    acme.later(DAY_MS // 2)
    middle = acme.now_ms
    await acme.registry.credentials.end(sign_ins[1], acme.owner.id, acme.as_jane, acme.later())
    await acme.registry.machines.revoke(late.id, acme.as_jane, acme.later())
    before: dict[Noun, int] = dict.fromkeys(ALL, middle)

    counted = await acme.registry.pruning.count(before)
    assert (counted["credentials"], counted["machines"]) == (1, 1)
    assert counted["audit entries"] > 0
    assert await acme.registry.pruning.prune(before) == counted
    assert await acme.registry.pruning.prune(before) == dict.fromkeys(ALL, 0)

    assert await acme.registry.credentials.find(hashes[2:], acme.now_ms) is not None
    assert [machine.name for machine in await acme.registry.machines.list([acme.id])] == [kept.name]
    assert (await acme.registry.machines.get(late.id, revoked=True)).revoked_ms is not None
    with pytest.raises(NotFound):
        await acme.registry.machines.get(old.id, revoked=True)
    assert await acme.trail(acme.owner.id) == ["machine.revoked"]


async def test_a_machine_that_was_revoked_and_pruned_stays_out_and_so_does_its_installation(acme: Acme) -> None:
    stolen = await acme.connect(acme.jane, "stolen")
    await acme.registry.machines.revoke(stolen.id, acme.as_jane, acme.later())
    await acme.registry.pruning.prune({"machines": acme.later()})
    with pytest.raises(NotFound):  # which a node tells its agent as 4001
        await acme.registry.machines.settle(stolen.id, 1, acme.later())
    with pytest.raises(MachineRevoked):
        await acme.register(acme.jane, "stolen", instance=stolen.instance)
    assert (await acme.register(acme.jane, "stolen", instance=stolen.instance, again=True)).created


async def test_rows_go_a_few_at_a_time(acme: Acme, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "BATCH_ROWS", 2)
    for number in range(5):
        await acme.registry.machines.revoke((await acme.connect(acme.jane, f"m{number}")).id, acme.as_jane, acme.now_ms)
    transactions = []
    attempt = acme.registry._database.attempt

    async def counted(work: object) -> object:
        transactions.append(work)
        return await attempt(work)  # type: ignore[arg-type]

    monkeypatch.setattr(acme.registry._database, "attempt", counted)
    assert await acme.registry.pruning.prune({"machines": acme.later()}) == {"machines": 5}
    assert len(transactions) == 4
