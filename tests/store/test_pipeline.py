"""Checks that everybody who asks over the one connection gets their own answer, also when it breaks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from relay.errors import Unavailable
from relay.rules.limits import PIPELINED_COMMANDS
from relay.store import Pipeline, pipeline
from relay.store.connection import answering, ask
from relay.store.script import Script
from relay.store.servers import Address
from tests.support.valkey import Valkey

WAIT_SECONDS = 10.0


@pytest_asyncio.fixture
async def line(valkey: Valkey) -> AsyncIterator[Pipeline]:
    """A pipeline to the test's Valkey."""
    made = Pipeline(valkey.url)
    yield made
    await made.aclose()


async def test_a_storm_of_questions_takes_one_connection_and_mixes_no_answers(line: Pipeline) -> None:
    answers = await asyncio.gather(*(line.execute_command("ECHO", number) for number in range(1_000)))
    assert answers == [str(number) for number in range(1_000)]
    assert len((await line.execute_command("CLIENT", "LIST")).splitlines()) == 1


async def test_an_error_is_for_the_one_who_asked(line: Pipeline) -> None:
    asked = [["ECHO", "1"], ["NONSENSE"], ["ECHO", "2"]]
    answers = await asyncio.gather(*(line.execute_command(*words) for words in asked), return_exceptions=True)
    assert answers[::2] == ["1", "2"]
    assert "unknown command" in str(answers[1])


async def test_a_script_that_redis_lost_is_sent_again(line: Pipeline) -> None:
    script = Script("return ARGV[1]")
    assert await script.run(line, (), ("1",)) == "1"
    await line.execute_command("SCRIPT", "FLUSH")
    assert await script.run(line, (), ("2",)) == "2"


async def test_one_who_leaves_takes_nobodys_answer(line: Pipeline) -> None:
    await line.execute_command("PING")
    leaving = asyncio.ensure_future(line.execute_command("ECHO", "mine"))
    staying = asyncio.ensure_future(line.execute_command("ECHO", "yours"))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == "yours"
    with pytest.raises(asyncio.CancelledError):
        await leaving


async def test_a_question_whose_connection_is_lost_is_asked_again(line: Pipeline, redis: Redis) -> None:
    own = await line.execute_command("CLIENT", "ID")
    waiting = asyncio.ensure_future(line.execute_command("BLPOP", "nothing", 0))
    await asyncio.sleep(0)  # it is on its way to Redis
    await ask(redis, "CLIENT", "KILL", "ID", own)
    await ask(redis, "RPUSH", "nothing", "something")
    assert await waiting == ["nothing", "something"]
    assert await line.execute_command("CLIENT", "ID") != own


async def test_without_redis_everybody_hears_so_and_with_it_all_goes_on(line: Pipeline, valkey: Valkey) -> None:
    await line.execute_command("PING")
    valkey.stop()
    try:
        with pytest.raises(Unavailable), answering():
            await line.execute_command("PING")
    finally:
        valkey.start()
    assert await line.execute_command("ECHO", "back") == "back"


async def test_a_redis_that_stands_still_keeps_nobody_longer_than_promised(
    line: Pipeline, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "ANSWER_SECONDS", 0.05)
    await line.execute_command("PING")
    valkey.freeze()
    try:
        with pytest.raises(Unavailable), answering():
            await line.execute_command("PING")
    finally:
        valkey.thaw()
    monkeypatch.setattr(pipeline, "ANSWER_SECONDS", 3.0)
    assert await line.execute_command("ECHO", "back") == "back"


async def test_more_questions_than_the_limit_are_refused_with_its_name(
    line: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    await line.execute_command("PING")
    monkeypatch.setattr(pipeline, "PIPELINED_COMMANDS", 3)
    counted: list[str] = []
    line.limited = counted.append
    answers = await asyncio.gather(*(line.execute_command("ECHO", n) for n in range(5)), return_exceptions=True)
    assert answers[:3] == ["0", "1", "2"]
    for refused in answers[3:]:
        assert isinstance(refused, Unavailable)
        assert refused.extra["limit"] == "PIPELINED_COMMANDS"
    assert counted == ["PIPELINED_COMMANDS"] * 2
    assert PIPELINED_COMMANDS == 10_000


async def test_everybody_who_waits_for_a_connection_hears_that_it_failed(
    line: Pipeline, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that accepts and does not answer: one attempt for all, not one after the other for each."""
    attempts = 0

    async def connect(_connection: object) -> pipeline.Line:
        nonlocal attempts
        attempts += 1
        await asyncio.sleep(0)
        raise TimeoutError("no answer")

    monkeypatch.setattr(pipeline.Line, "connect", connect)
    answers = await asyncio.gather(*(line.execute_command("PING") for _ in range(500)), return_exceptions=True)
    assert {type(answer) for answer in answers} == {TimeoutError}
    assert attempts == 1


async def test_a_connection_that_is_lost_at_once_is_made_again_for_everybody_who_waited_for_it(
    line: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that restarts takes a connection and cuts it: only who connected had asked by then."""
    connect, made = pipeline.Line.connect, 0

    async def cut_once(connection: object) -> pipeline.Line:
        nonlocal made
        made += 1
        connected = await connect(connection)
        if made == 1:
            asyncio.get_running_loop().call_soon(lose, connected)
        return connected

    def lose(connected: pipeline.Line) -> None:
        writer = connected._writer
        assert writer is not None
        connected.connection_lost(None)
        writer.transport.abort()

    monkeypatch.setattr(pipeline.Line, "connect", cut_once)
    answers = await asyncio.gather(*(line.execute_command("ECHO", n) for n in range(3)), return_exceptions=True)
    assert answers == ["0", "1", "2"]
    assert made == 2


async def test_a_server_that_left_the_cluster_is_hung_up_on(
    line: Pipeline, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lives on, and keeps every connection that nobody closes."""
    own = await line.execute_command("CLIENT", "ID")
    others = Pipeline("redis://127.0.0.1:1")  # where all keys are said to be now
    try:
        monkeypatch.setattr(line._servers, "_address", Address("elsewhere", 1))
        monkeypatch.setattr(line._servers, "addresses", frozenset({Address("elsewhere", 1)}))
        monkeypatch.setattr(line._servers, "connection", others._servers.connection)
        with pytest.raises(Unavailable), answering():
            await line.execute_command("PING")
    finally:
        await others.aclose()
    async with asyncio.timeout(WAIT_SECONDS):
        while await ask(redis, "CLIENT", "LIST", "ID", own):
            pass


async def test_one_who_leaves_while_connecting_leaves_the_others_a_connection(line: Pipeline) -> None:
    first = asyncio.ensure_future(line.execute_command("ECHO", "1"))
    others = [asyncio.ensure_future(line.execute_command("ECHO", "2")) for _ in range(3)]
    await asyncio.sleep(0)
    first.cancel()
    assert await asyncio.gather(*others) == ["2"] * 3


async def test_a_question_that_cannot_be_asked_shifts_nobodys_answer(line: Pipeline) -> None:
    await line.execute_command("PING")
    with pytest.raises(TypeError):
        await line.execute_command("ECHO", None)
    assert await line.execute_command("ECHO", "mine") == "mine"
