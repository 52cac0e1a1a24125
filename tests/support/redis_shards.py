"""Runs several Redis servers that know nothing of each other, which a test may kill and start again, empty."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from redis import Redis as BlockingRedis
from redis.exceptions import RedisError

from tests.support.ports import free_ports
from tests.support.valkey import server_program

START_SECONDS = 10.0
LOOK_SECONDS = 0.02


class Shard:
    """One of them."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it without anything in it, and wait until it answers."""
        self._process = subprocess.Popen(
            [
                str(server_program()), "--bind", "127.0.0.1", "--port", str(self.port), "--save", "",
                "--appendonly", "no",
            ],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        give_up = time.monotonic() + START_SECONDS
        while not self._answers():
            assert time.monotonic() < give_up, "Valkey does not answer"
            time.sleep(LOOK_SECONDS)

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def names(self) -> set[str]:
        """Of all keys that it holds, in a test that puts little there."""
        with BlockingRedis(port=self.port, decode_responses=True) as client:
            return set(client.scan_iter())

    def channels(self) -> set[str]:
        """Of all channels that somebody listens to there."""
        with BlockingRedis(port=self.port, decode_responses=True) as client:
            return set(client.execute_command("PUBSUB", "SHARDCHANNELS"))

    def forget(self, key: str) -> None:
        """As if the time of this key had come."""
        with BlockingRedis(port=self.port) as client:
            client.delete(key)

    def _answers(self) -> bool:
        with suppress(RedisError), BlockingRedis(port=self.port) as client:
            return bool(client.ping())
        return False


class Shards:
    """All of them, by one URL."""

    def __init__(self, servers: int) -> None:
        self.servers = [Shard(port) for port in free_ports(servers)]
        self.url = self.url_of(*range(servers))

    def url_of(self, *numbers: int) -> str:
        """The URL of a division among these of the servers."""
        return "redis+shards://" + ",".join(f"127.0.0.1:{self.servers[number].port}" for number in numbers)


@contextmanager
def redis_shards(servers: int) -> Iterator[Shards]:
    """So many servers until the block ends."""
    shards = Shards(servers)
    try:
        for server in shards.servers:
            server.start()
        yield shards
    finally:
        for server in shards.servers:
            server.kill()
