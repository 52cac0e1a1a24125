"""Shows that a secret which was used is found afterwards in no log, no process list, no answer and no shell."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis
from starlette.requests import Request

from relay.web.problems import internal
from tests.support.bare import bare
from tests.support.cluster import SECRET, Cluster, Rest, Team, clean_environment, running_cluster
from tests.support.starter import new_interpreters
from tests.support.valkey import running

LOOK_SECONDS = 0.05  # between two looks at the process list: commands live for tenths of a second
TAIL = 24  # characters of a secret that are looked for: a log that cuts one short has leaked it all the same


class Processes:
    """All arguments with which any process was seen to run."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self._end = threading.Event()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Look again and again for as long as this lasts."""
        thread = threading.Thread(target=self._look, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._end.set()
            thread.join()

    def _look(self) -> None:
        while not self._end.wait(LOOK_SECONDS):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    self.seen.add(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
                except OSError:
                    continue  # it ended meanwhile


class Story:
    """A cluster that does everything that needs a secret, and what these were."""

    def __init__(self, cluster: Cluster, team: Team) -> None:
        self.cluster = cluster
        self.team = team
        self.used = {"RELAY_SECRET": SECRET, "owner": cluster.owner_token, "key": team.key}
        self.said: list[str] = []

    def cli(self, token: str, *arguments: str, given: str = "") -> str:
        """A command of somebody's; what it printed."""
        environment = clean_environment() | {
            "RELAY_URL": ",".join(self.cluster.urls),
            "RELAY_TOKEN": token,
            "RELAY_CONFIG_DIR": str(self.cluster.folder / "cli"),
        }
        if not token:
            del environment["RELAY_TOKEN"]
        done = subprocess.run(
            [sys.executable, "-m", "relay.cli", *arguments],
            env=environment, input=given, capture_output=True, text=True, timeout=30,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        self.said.append(done.stdout + done.stderr)
        return done.stdout

    def tell(self) -> None:
        """Sign in in every way, register, run something, and get things wrong."""
        rest, urls = self.team.owner, self.cluster.urls
        link = rest("POST", "/api/sign-in-links", {})["url"].partition("#sign-in=")[2]
        invitation = rest("POST", f"/api/workspaces/{self.team.workspace}/invitations", {"role": "member"})["url"]
        ticket = rest("POST", "/api/tickets")["ticket"]
        device = rest("POST", "/api/device")
        rest("POST", "/api/device/approve", {"userCode": device["userCode"]})
        token = rest("POST", "/api/device/token", {"deviceCode": device["deviceCode"]})["token"]
        self.used |= {"link": link, "invitation": invitation.partition("#invite=")[2], "ticket": ticket}
        self.used |= {"device code": device["deviceCode"], "device token": token}
        with bare(urls[1], "/ws/browser", None, subprotocols=("relay.v1", ticket)) as browser:
            browser.say(type="hello", client="client-0001")
            browser.hears("welcome")
        with bare(urls[0], "/ws/browser", None, subprotocols=("relay.v1", ticket)) as browser:
            assert browser.is_closed()[0] == 4002
        self.cli("", "login", "--url", urls[0], "--token-stdin", given=link)
        kept = json.loads((self.cluster.folder / "cli" / "credentials.json").read_text())
        self.used["cli"] = kept[urls[0]]["token"]
        agent = self.team.agent("builder")
        (state,) = self.cluster.folder.glob("builder-*/config/machine.json")
        (entry,) = json.loads(state.read_text()).values()
        self.used["machine"] = entry["machineToken"]
        shell = self.cli(self.team.key, "exec", "builder", "--", "/bin/sh", "-c", "env; ls -l /proc/self/fd")
        self.said.append(shell)
        assert "RELAY_" not in shell
        assert "socket:[" not in shell, "a shell holds none of the agent's connections"
        assert "sqlite" not in shell
        for wrong in (token[:-1] + "_", "rly_pat_x", ticket):
            Rest(urls[0], wrong)("GET", "/api/me", status=401)
        Rest(urls[0], token)("POST", "/api/sign-in", {"secret": link}, status=410)
        Rest(urls[0], token)("POST", f"/api/sign-in?secret={token}", {"secret": 5, "x": link}, status=400)
        agent.stop()


@pytest.fixture(scope="module")
def story() -> Iterator[tuple[Story, Processes]]:
    """It is told once, with everything logged that can be."""
    processes = Processes()
    debug = {"RELAY_LOG_LEVEL": "debug"}
    with running() as server, processes.watched(), new_interpreters(), running_cluster(server, settings=debug) as it:
        told = Story(it, it.team())
        told.tell()
        yield told, processes


def assert_absent(text: str, used: dict[str, str], where: str) -> None:
    """None of the secrets is in a text, nor the greater part of one."""
    for name, secret in used.items():
        assert secret[-TAIL:] not in text, f"{name} is in {where}"


@pytest.mark.xdist_group("secrets")
def test_no_log_of_any_part_has_a_secret_in_it(story: tuple[Story, Processes]) -> None:
    told, _ = story
    logs = sorted(told.cluster.folder.glob("*.log"))
    assert len(logs) >= 5
    for log in logs:
        assert_absent(log.read_text(errors="replace"), told.used, log.name)


@pytest.mark.xdist_group("secrets")
def test_no_process_was_started_with_a_secret(story: tuple[Story, Processes]) -> None:
    told, processes = story
    assert any("relay.cli exec" in line for line in processes.seen), "the list was looked at often enough"
    assert any("relay.cli serve" in line for line in processes.seen)
    assert_absent("\n".join(processes.seen), told.used, "the process list")


@pytest.mark.xdist_group("secrets")
def test_no_command_and_no_shell_shows_one(story: tuple[Story, Processes]) -> None:
    told, _ = story
    assert_absent("\n".join(told.said), told.used, "what was printed")


@pytest.mark.xdist_group("secrets")
def test_redis_and_the_registry_hold_none(story: tuple[Story, Processes]) -> None:
    """Whoever steals a dump of either can sign in as nobody."""
    told, _ = story
    registry = b"".join(path.read_bytes() for path in told.cluster.folder.glob("relay.db*"))
    assert len(registry) > 10_000
    assert_absent(registry.decode("latin-1"), told.used, "the registry")
    with Redis(unix_socket_path=str(told.cluster.valkey.socket)) as redis:
        for key in redis.scan_iter():
            assert_absent(key.decode(errors="replace"), told.used, "a key of Redis")
            assert_absent(redis.dump(key).decode("latin-1"), told.used, "a value of Redis")


def test_what_goes_wrong_is_logged_without_the_values_that_were_at_hand(capfd: pytest.CaptureFixture[str]) -> None:
    """Loggers that print local variables would print tokens."""
    token = f"rly_pat_{secrets.token_hex(16)}"
    request = Request({"type": "http", "method": "GET", "path": "/api/me", "query_string": b"", "headers": [
        (b"authorization", f"Bearer {token}".encode())]})  # fmt: skip

    def fail(held: str) -> None:
        raise RuntimeError(f"{len(held)} characters were at hand")

    try:
        fail(token)
    except RuntimeError as error:
        answer = internal(request, error)
    said = capfd.readouterr()
    assert "40 characters were at hand" in said.out + said.err
    assert token not in said.out + said.err
    assert b"characters" not in answer.body
