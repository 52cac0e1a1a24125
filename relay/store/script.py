"""Runs Lua scripts: by digest, loaded when Redis lacks them, many in one pipeline."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from redis.exceptions import NoScriptError

from relay.rules import timing
from relay.store.connection import Commands as Commands
from relay.store.connection import answering
from relay.store.memory import Memory, outcomes

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


async def run_all(redis: Memory, calls: Sequence[Call]) -> list[Any]:
    """Run the calls in one round trip to each server; answers in their order. Each is atomic, all together are not.
    Raises `Unavailable`, after which some may have run."""
    answers = await outcomes(
        redis, [("EVALSHA", script.sha, len(keys), *keys, *arguments) for script, keys, arguments in calls]
    )
    with answering():
        for position, answer in enumerate(answers):
            if isinstance(answer, NoScriptError):
                answers[position] = await calls[position].script.run(redis, *calls[position][1:])
            elif isinstance(answer, Exception):
                raise answer
    return answers
