"""Lists what somebody may see of some workspaces: a tag over all of it, and machines described only when asked for."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from relay.node.directory import Directory, View
from relay.node.sight import AT_ONCE, Sight, slices
from relay.rules import machine as rules
from relay.rules import resolver
from relay.rules.access import Identity
from relay.rules.machine import Machine, Registered, State
from relay.rules.presence import Record

TAG_BYTES = 12  # 96 bits: two contents with one tag are not met by chance
DESCRIBED_AT_ONCE = 100  # about 1 ms


class Seen(NamedTuple):
    """One machine that somebody may see, not yet described."""

    row: Registered
    record: Record | None
    can: list[str]
    view: View

    def state(self, now: float) -> State:
        """Its band at monotonic `now`."""
        return rules.state_of(self.row, self.record, self.view.now_ms(now), self.view.settled)


async def tag(directory: Directory, identity: Identity, workspaces: Sequence[str]) -> str:
    """A text that is the same, on every node, as long as nothing but ages and last-seen times moved for `identity`.

    Without changes nothing but the workspace's version is read for it.
    """
    digest = hashlib.blake2b(digest_size=TAG_BYTES)
    for workspace in workspaces:
        digest.update(await _view_tag(await directory.machines(workspace), identity, workspace))
    return digest.hexdigest()


async def seen(directory: Directory, identity: Identity, workspaces: Sequence[str]) -> list[Seen]:
    """Every machine of these workspaces that `identity` may see, by workspace and name, with fresh presence."""
    found: list[Seen] = []
    for workspace in workspaces:
        found += await _seen(await directory.machines(workspace), identity)
    return found


async def online(found: Sequence[Seen]) -> list[Seen]:
    """Those that are there."""
    now = asyncio.get_running_loop().time()
    kept: list[Seen] = []
    for start in range(0, len(found), AT_ONCE):
        kept += [each for each in found[start : start + AT_ONCE] if each.state(now) != "offline"]
        await asyncio.sleep(0)
    return kept


async def matching(found: Sequence[Seen], query: str) -> list[Seen]:
    """Those whom any tier of the resolver would consider; raises `Invalid` as it does."""
    kept: list[Seen] = []
    for start in range(0, len(found), DESCRIBED_AT_ONCE):
        some = found[start : start + DESCRIBED_AT_ONCE]
        asked = [each.view.derived.candidate(each.row, each.view.former.get(each.row.id, ())) for each in some]
        wanted = {candidate.id for candidate in resolver.search(query, asked)}
        kept += [each for each in some if each.row.id in wanted]
        await asyncio.sleep(0)
    return kept


async def described(found: Sequence[Seen]) -> list[Machine]:
    """These machines as the outside sees them now."""
    machines: list[Machine] = []
    for start in range(0, len(found), DESCRIBED_AT_ONCE):
        now = asyncio.get_running_loop().time()
        for row, record, can, view in found[start : start + DESCRIBED_AT_ONCE]:
            machines.append(view.derived.described(row, record, can, view.now_ms(now), view.settled).machine)
        await asyncio.sleep(0)
    return machines


async def _seen(view: View, identity: Identity) -> list[Seen]:
    sight = Sight(identity)
    found: list[Seen] = []
    for some in slices([view.rows[id] for id in view.by_name()]):
        for row in some:
            can = sight.can(row)
            if can is not None:
                found.append(Seen(row, view.records.get(row.id), can, view))
        await asyncio.sleep(0)
    return found


async def _view_tag(view: View, identity: Identity, workspace: str) -> bytes:
    asker = (identity.person, identity.kind, identity.roles.get(workspace))
    made_of = (view.rows_at, view.version, view.settled, view.whole_at, view.until_ms)
    known = view.derived.tags.get(asker)
    if known is not None and known[0] == made_of:
        return known[1]
    digest = hashlib.blake2b(digest_size=TAG_BYTES)
    now_ms = view.now_ms(asyncio.get_running_loop().time())
    for start, each in enumerate(await _seen(view, identity)):
        digest.update(view.derived.described(each.row, each.record, each.can, now_ms, view.settled).essence)
        if start % DESCRIBED_AT_ONCE == 0:
            await asyncio.sleep(0)
    made = digest.digest()
    view.derived.remember_tag(asker, made_of, made)
    return made
