"""Tests of `relay dev` as people run it: a process in a terminal, started, used, stopped, killed and started again."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from relay.dev.engine import SOCKET_PATH_BYTES
from tests.support.ports import free_ports
from tests.support.processes import alive, descendants, gone

pytestmark = [
    pytest.mark.xdist_group("relay-dev"),
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]

LAST_LINE = "Ctrl-C stops everything."
PROGRAM = [sys.executable, "-m", "relay.cli"]


class Home:
    """One person on one machine: their folders, their command line, their `relay dev`."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.port = free_ports(2)[0]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RELAY_")}
        self.environ = kept | {"XDG_CONFIG_HOME": str(folder / "config"), "XDG_STATE_HOME": str(folder / "state")}

    def dev(self, *more: str, **environ: str) -> Dev:
        words = ["dev", "--data", str(self.data), "--port", str(self.port), "--no-open", *more]
        return Dev([*PROGRAM, *words], self.environ | environ)

    def relay(self, *words: str) -> Any:
        done = subprocess.run(
            [*PROGRAM, *words, "--json"], env=self.environ, capture_output=True, text=True, check=True, timeout=30
        )
        return json.loads(done.stdout)

    @contextmanager
    def running_command(self, script: str) -> Iterator[subprocess.Popen[str]]:
        """A command on this machine, once it has said a line."""
        command = [*PROGRAM, "exec", socket.gethostname(), "--", "sh", "-c", script]
        with subprocess.Popen(command, env=self.environ, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "there\n"
            yield process

    def machines(self) -> list[dict[str, Any]]:
        machines: list[dict[str, Any]] = self.relay("list")["machines"]
        return machines


class Dev:
    """A running `relay dev`."""

    def __init__(self, command: list[str], environ: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            command, env=dict(environ), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.lines: list[str] = []

    def __enter__(self) -> Dev:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def until(self, words: str) -> Dev:
        """Read lines until one with these words."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            if words in line:
                return self
        raise AssertionError(f"it ended with {self.process.wait()} after: {self.lines}")

    def parts(self) -> dict[str, str]:
        """What it said, by the part that it said it of."""
        return {name: rest.strip() for name, _, rest in (line.partition("  ") for line in self.lines) if rest}

    def ended(self) -> tuple[int, str]:
        """Wait for its end; its exit code, and all that it said."""
        said, _ = self.process.communicate(timeout=40)
        return self.process.returncode, "\n".join(self.lines) + said


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def dev(home: Home) -> Iterator[Dev]:
    with home.dev() as dev:
        yield dev.until(LAST_LINE)


def test_it_says_what_runs_where(home: Home, dev: Dev) -> None:
    parts = dev.parts()
    assert {"engine", "node-1", "node-2", "sweeper", "agent", "cli", "sign in", "logs"} <= parts.keys()
    assert parts["node-1"] == f"http://127.0.0.1:{home.port}"
    assert parts["node-2"] == f"http://127.0.0.1:{home.port + 1}"
    assert re.match(rf"http://127\.0\.0\.1:{home.port}/#sign-in=rly_link_\w+  \(works once", parts["sign in"])


def test_the_list_works_at_once_in_another_terminal(home: Home, dev: Dev) -> None:
    machines = home.machines()
    assert [machine["hostname"] for machine in machines] == [socket.gethostname()]
    assert machines[0]["online"]


def test_what_it_keeps_is_for_this_user_only(home: Home, dev: Dev) -> None:
    assert home.data.stat().st_mode & 0o777 == 0o700
    assert (home.data / "secret").stat().st_mode & 0o777 == 0o600
    assert (home.data / "engine" / "engine.sock").stat().st_mode & 0o777 == 0o700


def test_no_secret_is_in_a_process_list_or_a_log(home: Home, dev: Dev) -> None:
    secrets = {(home.data / "secret").read_text(), (home.data / "agent" / "token").read_text()}
    secrets.add(dev.parts()["sign in"].split("=")[1].split()[0])
    lists = [Path(f"/proc/{pid}/cmdline").read_text() for pid in descendants(dev.process.pid)]
    logs = [path.read_text() for path in (home.data / "logs").iterdir()]
    assert len(lists) >= 5
    assert not [secret for secret in secrets for text in lists + logs if secret in text]


def test_every_line_of_a_log_names_its_part(home: Home, dev: Dev) -> None:
    lines = (home.data / "logs" / "engine.log").read_text().splitlines()
    assert lines
    assert all(line.startswith("engine | ") for line in lines)


def test_a_second_one_on_the_same_folder_is_refused(home: Home, dev: Dev) -> None:
    with home.dev() as second:
        code, said = second.ended()
    assert code == 78
    assert said.startswith(f"relay: another relay dev (process {dev.process.pid}) uses {home.data}; ")
    assert said.count("\n") == 1


def test_a_taken_port_is_refused(home: Home, dev: Dev, tmp_path: Path) -> None:
    with home.dev("--data", str(tmp_path / "other")) as second:
        code, said = second.ended()
    assert (code, said) == (
        78,
        f"relay: port {home.port} cannot be used: Address already in use; choose another with --port\n",
    )


def test_stopping_leaves_no_process_and_the_next_start_finds_the_same_machine(home: Home, dev: Dev) -> None:
    before = home.machines()
    login = (Path(home.environ["XDG_CONFIG_HOME"]) / "relay" / "credentials.json").read_text()
    pids = descendants(dev.process.pid)
    dev.process.send_signal(signal.SIGINT)
    code, said = dev.ended()
    assert code == 0
    assert said.endswith("stopping\n")
    assert not [pid for pid in pids if alive(pid)]
    with home.dev() as again:
        again.until(LAST_LINE)
        assert [machine["id"] for machine in home.machines()] == [machine["id"] for machine in before]
        assert (Path(home.environ["XDG_CONFIG_HOME"]) / "relay" / "credentials.json").read_text() == login
        with home.running_command("echo there; exec sleep 600") as command:
            pids = descendants(again.process.pid)
            assert len(pids) >= 6
            again.process.kill()
            assert gone(pids, within_seconds=10)
            command.kill()


def test_a_folder_that_cannot_be_written_is_refused(home: Home, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with home.dev("--data", str(tmp_path / "file")) as dev:
        code, said = dev.ended()
    assert code == 78
    assert said == f"relay: cannot write to {tmp_path}/file: File exists; choose another folder with --data\n"


def test_a_missing_engine_is_one_line(home: Home, tmp_path: Path) -> None:
    with home.dev("--data", str(tmp_path), "--port", str(free_ports(2)[0]), RELAY_VALKEY_BIN="/no/such") as dev:
        code, said = dev.ended()
    assert code == 78
    assert said.splitlines()[-1] == "relay: RELAY_VALKEY_BIN: /no/such is not a program that can be run"


def test_a_deep_folder_works_too(home: Home, tmp_path: Path) -> None:
    """The engine then listens on a port behind a password."""
    deep = tmp_path / ("d" * SOCKET_PATH_BYTES)
    with home.dev("--data", str(deep), "--nodes", "1", "--port", str(free_ports(1)[0])) as dev:
        dev.until(LAST_LINE)
        assert ", port " in dev.parts()["engine"]
        dev.process.send_signal(signal.SIGTERM)
        assert dev.ended()[0] == 0
