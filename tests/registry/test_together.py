"""Says who shares a transaction, and that nobody shares another one's failure."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from relay.errors import NameTaken, RegistryUnavailable, RelayError
from relay.registry import together
from relay.registry.together import Elsewhere, Later, Together

Answer = str | RelayError | Later | Elsewhere


class Work:
    """A registry that does what it is asked once it may, and keeps what it was asked together."""

    def __init__(self) -> None:
        self.done: list[list[str]] = []
        self.may_go_on = asyncio.Event()
        self.began = asyncio.Event()
        self.broken: Exception | None = None  # what every transaction with a job called "broken" meets
        self.together: Together[str, str] = Together(self._do, answer_seconds=60.0)

    async def _do(self, place: str, jobs: Sequence[str]) -> Sequence[Answer]:
        self.done.append(list(jobs))
        self.began.set()
        await self.may_go_on.wait()
        if self.broken is not None and "broken" in jobs:
            raise self.broken
        return [self._answer(place, jobs, number) for number in range(len(jobs))]

    @staticmethod
    def _answer(place: str, jobs: Sequence[str], number: int) -> Answer:
        job = jobs[number]
        if job == "held" and place == "acme":
            return Elsewhere("its own")
        if job in jobs[:number]:
            return "later"
        return NameTaken("taken") if job == "refused" else f"{job} in {place}"

    def asking(self, *jobs: str, place: str = "acme") -> list[asyncio.Task[str]]:
        """So many who ask in this moment."""
        return [asyncio.create_task(self.together.do(place, job)) for job in jobs]


@pytest.fixture
def work() -> Work:
    """One that waits."""
    return Work()


async def test_who_comes_while_others_are_done_is_done_with_all_who_came_meanwhile(work: Work) -> None:
    asking = work.asking("first")
    await work.began.wait()
    asking += work.asking("second", "third")
    await asyncio.sleep(0)
    work.may_go_on.set()
    assert await asyncio.gather(*asking) == ["first in acme", "second in acme", "third in acme"]
    assert work.done == [["first"], ["second", "third"]]


async def test_one_place_does_not_wait_for_another(work: Work) -> None:
    asking = work.asking("first")
    await work.began.wait()
    work.began.clear()
    asking += work.asking("second", place="other")
    await work.began.wait()
    work.may_go_on.set()
    assert await asyncio.gather(*asking) == ["first in acme", "second in other"]


async def test_a_refusal_is_told_to_whom_it_concerns(work: Work) -> None:
    work.may_go_on.set()
    answers = await asyncio.gather(*work.asking("good", "refused", "better"), return_exceptions=True)
    assert isinstance(answers.pop(1), NameTaken)
    assert answers == ["good in acme", "better in acme"]
    assert len(work.done) == 1


async def test_what_meets_its_like_is_done_behind_it(work: Work) -> None:
    work.may_go_on.set()
    assert set(await asyncio.gather(*work.asking("same", "same", "same"))) == {"same in acme"}
    assert work.done == [["same"] * 3, ["same"] * 2, ["same"]]


async def test_a_job_that_breaks_a_transaction_breaks_only_its_own(work: Work) -> None:
    work.broken = ValueError("a mistake of ours")
    work.may_go_on.set()
    answers = await asyncio.gather(*work.asking("good", "broken", "better"), return_exceptions=True)
    assert isinstance(answers.pop(1), ValueError)
    assert answers == ["good in acme", "better in acme"]


async def test_a_registry_that_does_not_answer_is_asked_once_for_all(work: Work) -> None:
    work.broken = RegistryUnavailable("away")
    work.may_go_on.set()
    answers = await asyncio.gather(*work.asking("good", "broken", "better"), return_exceptions=True)
    assert [type(answer) for answer in answers] == [RegistryUnavailable] * 3
    assert len(work.done) == 1


async def test_who_leaves_before_it_was_begun_is_left_out(work: Work) -> None:
    asking = work.asking("first")
    await work.began.wait()
    asking += work.asking("second", "third")
    await asyncio.sleep(0)
    asking[1].cancel()
    work.may_go_on.set()
    assert await asyncio.gather(*asking[::2]) == ["first in acme", "third in acme"]
    assert work.done == [["first"], ["third"]]


async def test_what_would_keep_others_waiting_is_done_elsewhere_and_waited_for_there(work: Work) -> None:
    asking = work.asking("good", "held", "better")
    await work.began.wait()
    finished = asyncio.create_task(work.together.finished())
    work.may_go_on.set()
    assert await asyncio.gather(*asking) == ["good in acme", "held in its own", "better in acme"]
    await finished
    assert work.done == [["good", "held", "better"], ["held"]]


async def test_where_too_many_wait_elsewhere_the_registry_is_busy_for_those_alone(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking = work.asking("good", "held", "held")
    await work.began.wait()
    monkeypatch.setattr(together, "WAITING", 1)
    work.may_go_on.set()
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(answers.pop(), RegistryUnavailable)
    assert answers == ["good in acme", "held in its own"]


async def test_a_transaction_does_so_many_and_the_others_are_next(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "AT_ONCE", 2)
    work.may_go_on.set()
    await asyncio.gather(*work.asking("a", "b", "c", "d", "e"))
    assert work.done == [["a", "b"], ["c", "d"], ["e"]]


async def test_more_than_may_wait_are_told_at_once_that_the_registry_is_busy(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(together, "WAITING", 2)
    asking = work.asking("first")
    await work.began.wait()
    asking += work.asking("second", "third", "fourth")
    with pytest.raises(RegistryUnavailable, match="busy"):
        await asking.pop()
    work.may_go_on.set()
    await asyncio.gather(*asking)


async def test_who_waits_too_long_is_told_so_and_may_have_been_done(work: Work) -> None:
    hasty = Together(work._do, answer_seconds=0.0)
    with pytest.raises(RegistryUnavailable, match="busy"):
        await hasty.do("acme", "slow")
    work.may_go_on.set()
    await hasty.finished()
