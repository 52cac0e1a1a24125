"""Runs Lua scripts: by digest, loaded when Redis lacks them, many in one pipeline."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Sequence
from typing import Any, NamedTuple, Protocol

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from relay.rules import timing
from relay.store.connection import answering

Argument = str | int | float

# In front of every script. Numbers become text only through `int`: Lua's own tostring loses digits of milliseconds.
_PRELUDE = f"""
local KEPT = {timing.REDIS_KEPT_SECONDS}

local function int(number) return string.format('%.0f', number) end

local function clock()
    local time = redis.call('TIME')
    return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function keep(...)
    for _, key in ipairs({{...}}) do redis.call('EXPIRE', key, KEPT) end
end
"""


class Commands(Protocol):
    """Whatever takes one command and gives its answer: a client of redis-py, or a `Pipeline`."""

    def execute_command(self, *words: Any) -> Awaitable[Any]:
        """Send it; raises as redis-py does."""


class Script:
    """One script; an instance may be used on any number of servers."""

    def __init__(self, body: str) -> None:
        self.text = _PRELUDE + body
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    async def run(self, redis: Commands, keys: Sequence[str], arguments: Sequence[Argument] = ()) -> Any:
        """Run alone, in one round trip once Redis has it; raises `Unavailable`."""
        with answering():
            try:
                return await redis.execute_command("EVALSHA", self.sha, len(keys), *keys, *arguments)
            except NoScriptError:
                return await redis.execute_command("EVAL", self.text, len(keys), *keys, *arguments)


class Call(NamedTuple):
    """A script with what it is to work on."""

    script: Script
    keys: Sequence[str]
    arguments: Sequence[Argument] = ()


async def run_all(redis: Redis, calls: Sequence[Call]) -> list[Any]:
    """Run the calls in one pipeline; answers in their order. Each is atomic, all together are not. Raises
    `Unavailable`, after which some may have run."""
    with answering():
        pipeline = redis.pipeline(transaction=False)
        for script, keys, arguments in calls:
            pipeline.execute_command("EVALSHA", script.sha, len(keys), *keys, *arguments)
        answers = await pipeline.execute(raise_on_error=False)
        for position, answer in enumerate(answers):
            if isinstance(answer, NoScriptError):
                answers[position] = await calls[position].script.run(redis, *calls[position][1:])
            elif isinstance(answer, Exception):
                raise answer
        return list(answers)
