"""Lists what somebody may see of some workspaces: a tag over all of it, and machines written only when asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from hashlib import blake2b

from relay.node.directory import Directory
from relay.node.lines import AT_ONCE, Line
from relay.node.sight import Sight
from relay.node.view import View
from relay.rules import resolver
from relay.rules.access import Identity

TAG_BYTES = 12  # 96 bits: two contents with one tag are not met by chance


class Listing:
    """Every machine of some workspaces that somebody may see, by workspace and name, as of one moment."""

    def __init__(self, identity: Identity) -> None:
        self.lines: list[Line] = []
        self._sight = Sight(identity)
        self._views: dict[str, View] = {}
        self._digest = blake2b(digest_size=TAG_BYTES)

    @property
    def tag(self) -> str:
        """A text that is the same, on every node, as long as nothing but ages and last-seen times moved for them."""
        return self._digest.hexdigest()

    async def add(self, workspace: str, view: View) -> None:
        """Add what may be seen of one workspace."""
        self._views[workspace] = view
        ids = view.by_name()
        await asyncio.sleep(0)
        for lines in view.lines(ids):
            marks: list[bytes] = []
            for line in lines:
                ending = self._sight.ending(line.words.kind, line.row)
                if ending is not None:
                    self.lines.append(line)
                    marks += (line.words.mark, ending)
            self._digest.update(b"".join(marks))
            await asyncio.sleep(0)

    async def keep_online(self) -> None:
        """Keep those that are there."""
        self.lines = [line for line in self.lines if line.state != "offline"]

    async def keep_matching(self, query: str) -> None:
        """Keep those whom any tier of the resolver would consider; raises `Invalid` as it does."""
        kept: list[Line] = []
        for some in _slices(self.lines):
            asked = [self._views[line.row.workspace].candidate(line.row) for line in some]
            wanted = {candidate.id for candidate in resolver.search(query, asked)}
            kept += [line for line in some if line.row.id in wanted]
            await asyncio.sleep(0)
        self.lines = kept

    async def written(self, lines: Sequence[Line]) -> list[bytes]:
        """Some of these lines as the inside of a JSON list, in texts of many machines each."""
        texts: list[bytes] = []
        for some in _slices(lines):
            now = asyncio.get_running_loop().time()
            now_ms = {workspace: view.now_ms(now) for workspace, view in self._views.items()}
            pieces: list[bytes] = []
            for line in some:
                ending = self._sight.ending(line.words.kind, line.row)
                if ending is not None:  # none is: no line is here that the asker may not see
                    pieces += line.pieces(now_ms[line.words.kind[0]], ending)
            texts.append(b"".join(pieces if texts else [pieces[0][1:], *pieces[1:]]))
            await asyncio.sleep(0)
        return texts


async def seen(directory: Directory, identity: Identity, workspaces: Sequence[str]) -> Listing:
    """What `identity` may see of these workspaces; raises `Unavailable`."""
    listing = Listing(identity)
    for workspace in workspaces:
        await listing.add(workspace, await directory.machines(workspace))
    return listing


def _slices(lines: Sequence[Line]) -> Iterator[Sequence[Line]]:
    return (lines[start : start + AT_ONCE] for start in range(0, len(lines), AT_ONCE))
