"""Runs a Redis Cluster of three primaries with a replica each, whose servers a test may kill, freeze and restart."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redis import Redis as BlockingRedis
from redis.backoff import NoBackoff
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import RedisError
from redis.retry import Retry

from tests.support.ports import free_ports
from tests.support.valkey import server_program

PRIMARIES = 3
WAIT_SECONDS = 30.0
LOOK_SECONDS = 0.05
NODE_TIMEOUT_MS = 1_000  # after which the others believe that a server is dead; operators have 5 to 15 seconds
ONCE: dict[str, Any] = {"socket_timeout": 1.0, "retry": Retry(NoBackoff(), 0)}  # whoever needs an answer asks again
BUS_PORT = 1  # how far a server's second port, on which the servers talk, is from its first


class Server:
    """One server of the Cluster."""

    def __init__(self, folder: Path, port: int, *settings: str) -> None:
        self.folder = folder
        self.port = port
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir()

    def start(self) -> None:
        """Start it, with what it wrote down of the Cluster before."""
        self._process = subprocess.Popen(
            [
                str(server_program()), "--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder),
                "--cluster-enabled", "yes", "--cluster-node-timeout", str(NODE_TIMEOUT_MS),
                "--cluster-port", str(self.port + BUS_PORT), "--cluster-replica-validity-factor", "0",
                "--repl-diskless-sync-delay", "0", "--save", "", *self._settings,
            ],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Stop it without closing a socket."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Undo `freeze`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    @property
    def running(self) -> bool:
        """Whether it was started and not killed since."""
        return self._process is not None

    @property
    def id(self) -> str:
        """What the Cluster calls it."""
        return str(self.ask("CLUSTER", "MYID"))

    @property
    def primary(self) -> bool:
        """Whether it holds slots of its own and does not follow another."""
        return ["role:master"] in self.lines("INFO", "replication")

    def ask(self, *words: str | int) -> object:
        """One command and its answer."""
        with BlockingRedis(port=self.port, decode_responses=True, **ONCE) as client:
            return client.execute_command(*words)

    def lines(self, *words: str) -> list[list[str]]:
        """The words of each line of an answer."""
        with BlockingRedis(port=self.port, **ONCE) as client:
            client.response_callbacks.clear()  # the answer as it is
            return [line.split() for line in client.execute_command(*words).decode().splitlines()]


class RedisCluster:
    """Six servers on loopback ports: the first three begin as primaries, each of the others follows one of them."""

    def __init__(self, folder: Path, *settings: str) -> None:
        ports = free_ports(4 * PRIMARIES)[::2]
        self.servers = [Server(folder / str(port), port, *settings) for port in ports]
        self.url = "redis+cluster://" + ",".join(f"127.0.0.1:{port}" for port in ports)

    def start(self) -> None:
        """Start all and wait until any primary's death would be healed."""
        for server in self.servers:
            server.start()
        for epoch, server in enumerate(self.servers, 1):
            self.wait(lambda server=server: server.ask("PING") is True)  # type: ignore[misc]
            server.ask("CLUSTER", "SET-CONFIG-EPOCH", epoch)  # before they meet, or equal ones have to be sorted out
        share = -(-REDIS_CLUSTER_HASH_SLOTS // PRIMARIES)
        for number, server in enumerate(self.servers[:PRIMARIES]):
            last = min((number + 1) * share, REDIS_CLUSTER_HASH_SLOTS) - 1
            server.ask("CLUSTER", "ADDSLOTSRANGE", number * share, last)
        first, *others = self.servers
        for server in others:
            server.ask("CLUSTER", "MEET", "127.0.0.1", first.port, first.port + BUS_PORT)
        self.wait(lambda: all(len(each.lines("CLUSTER", "NODES")) == len(self.servers) for each in self.servers))
        for primary, replica in zip(self.servers[:PRIMARIES], self.servers[PRIMARIES:], strict=True):
            self.wait(lambda p=primary, r=replica: r.ask("CLUSTER", "REPLICATE", p.id))  # type: ignore[misc]
        self.wait(self.whole)

    def stop(self) -> None:
        """Kill what is left."""
        for server in self.servers:
            server.kill()

    def whole(self) -> bool:
        """Whether every server believes that all slots are served and nobody is missing, and each replica follows."""
        for server in self.servers:
            lines = server.lines("CLUSTER", "NODES")
            if ["cluster_state:ok"] not in server.lines("CLUSTER", "INFO"):
                return False
            if any("fail" in line[2] or "handshake" in line[2] for line in lines):
                return False
            if sum("slave" in line[2] and line[7] == "connected" for line in lines) != len(self.servers) - PRIMARIES:
                return False
            replication = [line[0] for line in server.lines("INFO", "replication") if line]
            if "role:slave" in replication and "master_link_status:up" not in replication:
                return False
        return True

    def owner(self, key: str) -> Server:
        """The primary that holds a key, as most of the others see it."""
        slot = key_slot(key.encode())
        votes = [port for server in self.servers for port in self._owners(server, slot)]
        port = max(votes, key=votes.count)
        return next(server for server in self.servers if server.port == port)

    def give_away(self, key: str) -> Server:
        """Move a key's slot, with all that is in it, to another primary as operators do; the new owner."""
        giver, taker = self.begin_to_give_away(key)
        return self.finish_giving_away(key, giver, taker)

    def begin_to_give_away(self, key: str) -> tuple[Server, Server]:
        """The first half: what is not in the slot already is for the taker; giver and taker."""
        slot, giver = key_slot(key.encode()), self.owner(key)
        taker = next(each for each in self.servers if each.primary and each is not giver)
        taker.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", giver.id)
        giver.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", taker.id)
        return giver, taker

    def finish_giving_away(self, key: str, giver: Server, taker: Server) -> Server:
        """The second half; the new owner."""
        slot = key_slot(key.encode())
        while names := giver.ask("CLUSTER", "GETKEYSINSLOT", slot, 100):
            giver.ask("MIGRATE", "127.0.0.1", taker.port, "", 0, 5_000, "KEYS", *names)  # type: ignore[misc]
        for server in (taker, giver):
            server.ask("CLUSTER", "SETSLOT", slot, "NODE", taker.id)
        return taker

    def _owners(self, server: Server, slot: int) -> list[int]:
        try:
            lines = server.lines("CLUSTER", "NODES")
        except RedisError:
            return []
        return [int(line[1].split("@")[0].rpartition(":")[2]) for line in lines if _has(line[8:], slot)]

    def wait(self, reached: Callable[[], object]) -> None:
        """Wait until this is true; a server that does not answer yet is asked again."""
        give_up = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                if reached():
                    return
            except RedisError:
                pass
            assert time.monotonic() < give_up, "the Cluster does not come to an agreement"
            time.sleep(LOOK_SECONDS)


def _has(ranges: list[str], slot: int) -> bool:
    for each in ranges:
        first, _, last = each.partition("-")
        if not each.startswith("[") and int(first) <= slot <= int(last or first):
            return True
    return False


@contextmanager
def redis_cluster(*settings: str) -> Iterator[RedisCluster]:
    """A Cluster in a folder of its own, started."""
    folder = Path(tempfile.mkdtemp(prefix="redis-cluster-", dir="/tmp"))
    cluster = RedisCluster(folder, *settings)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)
