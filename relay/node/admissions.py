"""Announces to Redis together whoever says hello at the same time: in a storm most of what a hello costs is shared."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from relay.node.errands import Errands
from relay.store import Admitted, Announcement, Presence, Refused
from relay.store.hello import HELLOS_PER_SCRIPT


class Hello(NamedTuple):
    """One machine that waits, with who is told the answer."""

    announcement: Announcement
    answer: asyncio.Future[Admitted | Refused]


class Admissions:
    """One question at a time for each shard; who comes meanwhile is in the next. So nobody waits for company, and the
    more there are, the less each costs. Nobody is in here twice, so the node's limit on sockets is its limit."""

    def __init__(self, presence: Presence, errands: Errands) -> None:
        self._presence = presence
        self._errands = errands
        self._waiting: dict[int, list[Hello]] = {}  # by shard, for as long as its questions are under way

    async def announce(self, announcement: Announcement) -> Admitted | Refused:
        """See `Presence.announce`. When Redis does not answer, everybody who waits is told so at once."""
        shard = self._presence.shard(announcement.workspace)
        hello = Hello(announcement, asyncio.get_running_loop().create_future())
        waiting = self._waiting.get(shard)
        if waiting is None:
            self._waiting[shard] = [hello]
            self._errands.start(self._ask(shard))  # begins when all who are here in this turn of the loop are in
        else:
            waiting.append(hello)
        return await hello.answer

    async def _ask(self, shard: int) -> None:
        asked: list[Hello] = []
        try:
            while waiting := [hello for hello in self._waiting[shard] if not hello.answer.done()]:
                # Who left before it was asked is not asked about: it has been abandoned, and that must come behind.
                asked, self._waiting[shard] = waiting[:HELLOS_PER_SCRIPT], waiting[HELLOS_PER_SCRIPT:]
                answers = await self._presence.announce_all(shard, [hello.announcement for hello in asked])
                for hello, answer in zip(asked, answers, strict=True):
                    if not hello.answer.done():  # who said hello may have left
                        hello.answer.set_result(answer)
        except Exception as error:
            for hello in [*asked, *self._waiting[shard]]:
                if not hello.answer.done():
                    hello.answer.set_exception(error)
        finally:
            for hello in [*asked, *self._waiting.pop(shard)]:
                hello.answer.cancel()  # only at the end of the process; who has an answer keeps it
