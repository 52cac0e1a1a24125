"""Checks which Redis URLs are understood, and that trouble with Redis becomes one error of ours."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from redis.asyncio import Redis

from relay.errors import Misconfigured, Unavailable
from relay.store import Keys, Presence, connect, open_memory
from relay.store.connection import CONNECTIONS, answering, ask
from relay.store.script import Call, Script, run_all
from tests.support.valkey import Valkey


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:1/0",
        "rediss://user:secret@127.0.0.1:1/2",
        "unix:///tmp/nobody.sock",
        "redis+sentinel://127.0.0.1:1,[::1]:1/master",
        "redis+sentinel://user:secret@localhost/master/3",
        "redis+cluster://127.0.0.1:1,[::1]:1",
        "redis+cluster://user:secret@localhost:1,127.0.0.1:1/0",
        "rediss+cluster://127.0.0.1:1?ssl_cert_reqs=none",
    ],
)
async def test_the_schemes_of_the_contract_are_understood(url: str) -> None:
    client = open_memory(url)
    with pytest.raises(Unavailable):
        await ask(client, "PING")
    await client.aclose()


@pytest.mark.parametrize(
    "url",
    [
        "redis+cluster://",
        "redis+cluster://127.0.0.1:port",
        "redis+cluster://127.0.0.1:1,127.0.0.1:99999",
        "redis+cluster://127.0.0.1:1/2",
        "redis+cluster://127.0.0.1:1?socket_timeout=soon",
        "http://127.0.0.1",
        "127.0.0.1:6379",
        "redis://127.0.0.1:port",
        "redis+sentinel://127.0.0.1:1",
        "redis+sentinel://127.0.0.1:port/master",
        "redis+sentinel://127.0.0.1:1/master/x",
    ],
)
def test_other_urls_are_refused_with_a_sentence(url: str) -> None:
    with pytest.raises(Misconfigured, match="RELAY_REDIS_URL"):
        open_memory(url)


async def test_a_redis_that_does_not_answer_is_unavailable(tmp_path: Path, keys: Keys) -> None:
    client = connect(f"unix://{tmp_path}/nobody.sock")
    with pytest.raises(Unavailable):
        await Presence(client, keys).read("w")
    with pytest.raises(Unavailable):
        await Presence(client, keys).beat("node", [])
    await client.aclose()


async def test_a_connection_that_was_closed_a_moment_ago_is_no_mistake_of_ours() -> None:
    with pytest.raises(Unavailable), answering():
        raise RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")
    with pytest.raises(RuntimeError), answering():
        raise RuntimeError("a mistake of ours")


async def test_a_redis_that_may_not_write_is_unavailable(redis: Redis, keys: Keys) -> None:
    await redis.config_set("maxmemory", "1")
    try:
        with pytest.raises(Unavailable):
            await Presence(redis, keys).beat("node", [])
    finally:
        await redis.config_set("maxmemory", "0")


async def test_a_mistake_of_ours_is_not_mistaken_for_trouble_of_theirs(redis: Redis) -> None:
    with pytest.raises(Exception, match="nonsense") as raised:
        await Script("nonsense()").run(redis, ())
    assert not isinstance(raised.value, Unavailable)


async def test_a_script_that_redis_lost_is_sent_again_alone_and_in_a_pipeline(redis: Redis) -> None:
    script, other = Script("return ARGV[1]"), Script("return ARGV[1] .. '!'")
    assert await script.run(redis, (), ("1",)) == "1"
    await redis.script_flush()
    assert await run_all(redis, [Call(script, (), ("2",)), Call(other, (), ("3",))]) == ["2", "3!"]
    await redis.script_flush()
    assert await script.run(redis, (), ("4",)) == "4"


async def test_a_storm_of_requests_waits_for_connections_instead_of_failing(redis: Redis) -> None:
    answers = await asyncio.gather(*(ask(redis, "ECHO", number) for number in range(CONNECTIONS * 5)))
    assert answers == [str(number) for number in range(CONNECTIONS * 5)]
    assert len(await redis.client_list()) <= CONNECTIONS


async def test_a_cancellation_is_never_forgotten(redis: Redis, keys: Keys) -> None:
    """Whatever step of a command it meets: else a loop goes on for ever, and a shutdown hangs."""
    presence = Presence(redis, keys)
    for work in (lambda: ask(redis, "PING"), lambda: presence.version("w"), lambda: presence.beat("node", [])):
        for steps in range(60):
            task = asyncio.ensure_future(work())
            for _ in range(steps % 20):
                await asyncio.sleep(0)
            if not task.done():
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task


async def test_a_task_that_cleans_up_after_its_cancellation_may_still_talk_to_redis(redis: Redis) -> None:
    answers: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            answers.append(await ask(redis, "ECHO", "cleaned up"))

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert answers == ["cleaned up"]


async def test_a_restarted_redis_serves_the_old_pool(standing_valkey: Valkey, standing_redis: Redis) -> None:
    assert await ask(standing_redis, "ECHO", 1) == "1"
    standing_valkey.stop()
    with pytest.raises(Unavailable):
        await ask(standing_redis, "ECHO", 2)
    standing_valkey.start()
    assert await ask(standing_redis, "ECHO", 3) == "3"
