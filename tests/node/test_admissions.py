"""Shows that hellos which come together are asked about together, and that each gets its own answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

from relay.errors import Unavailable
from relay.node.admissions import Admissions
from relay.node.errands import Errands
from relay.rules.presence import Fence, Info
from relay.store import Admitted, Announcement, Presence, Refused
from relay.store.hello import HELLOS_PER_SCRIPT

WAIT_SECONDS = 10.0  # a test that waits longer has found something


class Asked:
    """Stands in for Redis: it answers when it is told to, and remembers what was asked."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.may_answer = asyncio.Event()
        self.error: Exception | None = None

    def shard(self, workspace: str) -> int:
        """See `Presence`."""
        return len(workspace)

    async def announce_all(self, shard: int, announcements: Sequence[Announcement]) -> list[Admitted | Refused]:
        """See `Presence`."""
        self.batches.append([each.machine for each in announcements])
        await self.may_answer.wait()
        if self.error is not None:
            raise self.error
        return [Admitted(fence=Fence(1, 1, each.machine)) for each in announcements]


def hello(machine: object, workspace: str = "acme") -> Announcement:
    """What a machine claims."""
    return Announcement(
        workspace=workspace, machine=str(machine), token_version=1, connection="", node="", info=Info(pid=1)
    )


async def asked(redis: Asked, times: int) -> None:
    """Wait until Redis was asked so often."""
    async with asyncio.timeout(WAIT_SECONDS):
        while len(redis.batches) < times:  # noqa: ASYNC110 - the next turn of the loop asks
            await asyncio.sleep(0)


async def outcomes(*hellos: asyncio.Task[Any]) -> list[Any]:
    """What each was answered, errors included."""
    async with asyncio.timeout(WAIT_SECONDS):
        return await asyncio.gather(*hellos, return_exceptions=True)


async def test_those_who_come_together_share_a_question_and_those_who_come_meanwhile_the_next(
    errands: Errands,
) -> None:
    redis = Asked()
    admissions = Admissions(cast(Presence, redis), errands)
    first = [asyncio.create_task(admissions.announce(hello(name))) for name in "ab"]
    elsewhere = asyncio.create_task(admissions.announce(hello("x", "another")))
    await asked(redis, 2)
    second = [asyncio.create_task(admissions.announce(hello(name))) for name in "cd"]
    await asyncio.sleep(0)
    redis.may_answer.set()
    answers = await outcomes(*first, *second, elsewhere)
    assert redis.batches == [["a", "b"], ["x"], ["c", "d"]]
    assert [answer.fence.connection for answer in answers] == ["a", "b", "c", "d", "x"]
    assert (await admissions.announce(hello("e"))) == Admitted(fence=Fence(1, 1, "e"))


async def test_one_question_is_about_so_many_and_no_more(errands: Errands) -> None:
    redis = Asked()
    redis.may_answer.set()
    admissions = Admissions(cast(Presence, redis), errands)
    await outcomes(*(asyncio.create_task(admissions.announce(hello(n))) for n in range(HELLOS_PER_SCRIPT + 1)))
    assert [len(batch) for batch in redis.batches] == [HELLOS_PER_SCRIPT, 1]


async def test_when_redis_does_not_answer_everybody_who_waits_hears_it_and_later_ones_ask_again(
    errands: Errands,
) -> None:
    redis = Asked()
    redis.error = Unavailable("gone")
    admissions = Admissions(cast(Presence, redis), errands)
    first = asyncio.create_task(admissions.announce(hello("a")))
    await asked(redis, 1)
    second = asyncio.create_task(admissions.announce(hello("b")))
    await asyncio.sleep(0)
    redis.may_answer.set()
    assert await outcomes(first, second) == [redis.error, redis.error]
    assert redis.batches == [["a"]]
    redis.error = None
    assert (await admissions.announce(hello("c"))) == Admitted(fence=Fence(1, 1, "c"))


async def test_one_who_leaves_costs_the_others_nothing(errands: Errands) -> None:
    redis = Asked()
    admissions = Admissions(cast(Presence, redis), errands)
    leaving, staying = [asyncio.create_task(admissions.announce(hello(name))) for name in "ab"]
    await asked(redis, 1)
    leaving.cancel()
    redis.may_answer.set()
    gone, answered = await outcomes(leaving, staying)
    assert isinstance(gone, asyncio.CancelledError)
    assert answered == Admitted(fence=Fence(1, 1, "b"))


async def test_the_end_of_the_process_is_the_end_of_waiting() -> None:
    errands, redis = Errands(), Asked()
    running = asyncio.create_task(errands.run())
    await asyncio.sleep(0)
    admissions = Admissions(cast(Presence, redis), errands)
    waiting = asyncio.create_task(admissions.announce(hello("a")))
    await asked(redis, 1)
    running.cancel()
    assert isinstance((await outcomes(waiting))[0], asyncio.CancelledError)


async def test_one_who_leaves_before_it_is_asked_about_is_not_asked_about(errands: Errands) -> None:
    """Else Redis would take its hello after it was told that nobody waits for it."""
    redis = Asked()
    admissions = Admissions(cast(Presence, redis), errands)
    first = asyncio.create_task(admissions.announce(hello("a")))
    await asked(redis, 1)
    leaving, staying = [asyncio.create_task(admissions.announce(hello(name))) for name in "bc"]
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.sleep(0)
    redis.may_answer.set()
    await outcomes(first, leaving, staying)
    assert redis.batches == [["a"], ["c"]]
