"""Lets a node into its cluster only if they can verify what each other signs."""

from __future__ import annotations

import asyncio

import structlog

from relay.errors import Misconfigured
from relay.store.leases import Lease, Leases

LOOK_SECONDS = 0.1  # between two looks whether a younger node without a common secret goes, which takes it one
LOOKS = 20


async def enter(leases: Leases, mine: Lease) -> None:
    """Take the node's first lease. Raises `Misconfigured` if a node that lives has no secret in common with it, and
    `Unavailable`.

    Of two that start at once and have none in common the later one is refused, if both are listed before they look. One
    that was quicker than the older's first lease has seen nobody and stays; then the older goes."""
    before = [lease for lease in await leases.live() if lease.boot != mine.boot]
    _refuse(mine, before)
    await leases.renew(mine)
    known = {lease.boot for lease in before} | {mine.boot}
    try:
        for look in range(LOOKS):
            meanwhile = [lease for lease in await leases.live() if lease.boot not in known]
            _refuse(mine, [lease for lease in meanwhile if _age(lease) < _age(mine) or look == LOOKS - 1])
            if not strangers(mine, meanwhile):
                break
            await asyncio.sleep(LOOK_SECONDS)
    except Misconfigured:
        await leases.release(mine.boot)
        raise
    _warn(mine, before)


def strangers(mine: Lease, others: list[Lease]) -> list[Lease]:
    """Those whose secrets are known and are all others than this node's."""
    own = set(mine.marks.secrets)
    return [each for each in others if own and each.marks.secrets and own.isdisjoint(each.marks.secrets)]


def _refuse(mine: Lease, others: list[Lease]) -> None:
    for other in strangers(mine, others):
        raise Misconfigured(
            f"RELAY_SECRET is not the cluster's: this node has {_named(mine)} and {other.url} has {_named(other)}, by "
            "their fingerprints, and none is in both; a new secret goes beside the old one on all nodes first "
            "(relay admin rotate-secret)"
        )


def _warn(mine: Lease, others: list[Lease]) -> None:
    for other in others:
        if mine.marks.secrets and other.marks.secrets and mine.marks.secrets[0] not in other.marks.secrets:
            structlog.get_logger().warning(
                "a node does not know the secret that signs here, and refuses what is signed here",
                node=other.url,
                secret=mine.marks.secrets[0],
            )


def _named(lease: Lease) -> str:
    return ", ".join(lease.marks.secrets)


def _age(lease: Lease) -> tuple[int, str]:
    return lease.started_ms, lease.boot
