"""Runs a primary, a replica and a sentinel, so that a failover can be had in a test."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from redis import Redis as BlockingRedis
from redis.exceptions import RedisError

from tests.support.ports import free_ports
from tests.support.valkey import server_program

WAIT_SECONDS = 20.0
NAME = "relay"


class Sentinels:
    """Three processes on loopback ports; `fail_over` kills the primary."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ports = free_ports(3)
        self._processes: list[subprocess.Popen[bytes]] = []
        self.url = f"redis+sentinel://127.0.0.1:{self._ports[2]}/{NAME}"

    def start(self) -> None:
        """Start all three and wait until the sentinel knows the replica."""
        primary, replica, sentinel = self._ports
        self._run("primary", f"port {primary}\nsave ''\n")
        self._run("replica", f"port {replica}\nsave ''\nreplicaof 127.0.0.1 {primary}\nrepl-diskless-sync-delay 0\n")
        self._run(
            "sentinel",
            f"port {sentinel}\nsentinel monitor {NAME} 127.0.0.1 {primary} 1\n"
            f"sentinel down-after-milliseconds {NAME} 300\nsentinel failover-timeout {NAME} 2000\n",
            "--sentinel",
        )
        self._wait(lambda: bool(self._ask("SENTINEL", "REPLICAS", NAME)))
        self._wait(lambda: BlockingRedis(port=replica).info("replication")["master_link_status"] == "up")

    def fail_over(self) -> None:
        """Kill the primary and wait until the sentinel names the replica instead."""
        self._processes[0].kill()
        self._processes[0].wait()
        self._wait(lambda: int(self._ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)[1]) == self._ports[1])

    def stop(self) -> None:
        """Kill what is left."""
        for process in self._processes:
            process.kill()
            process.wait()

    def _run(self, name: str, configuration: str, *flags: str) -> None:
        path = self._folder / f"{name}.conf"
        path.write_text(f"bind 127.0.0.1\ndir {self._folder}\n{configuration}")
        command = [str(server_program()), str(path), *flags]
        self._processes.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))

    def _ask(self, *words: str) -> list[str]:
        with BlockingRedis(port=self._ports[2], decode_responses=True) as client:
            return list(client.execute_command(*words))

    def _wait(self, reached: Callable[[], bool]) -> None:
        give_up = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                if reached():
                    return
            except RedisError:
                pass
            assert time.monotonic() < give_up
            time.sleep(0.02)


@contextmanager
def sentinels() -> Iterator[Sentinels]:
    """A primary with a replica, watched by a sentinel."""
    folder = Path(tempfile.mkdtemp(prefix="sentinel-", dir="/tmp"))
    cluster = Sentinels(folder)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder)
