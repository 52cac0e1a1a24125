"""Runs a real cluster for tests: nodes, sweeper and agents as processes, on real Valkey and a real registry."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from relay.dev.founding import Founder
from tests.support.ports import free_ports
from tests.support.starter import Started, run
from tests.support.valkey import Valkey

START_SECONDS = 60.0  # three workers start a cluster each at once, and every process imports everything
STOP_SECONDS = 10.0
LOOK_SECONDS = 0.03  # for what a process tells nobody but its log
TEAMS_EACH = 90  # that one person founds; more than a hundred workspaces are refused
SECRET = "a-secret-of-the-test-cluster-which-is-long-enough"


class Part:
    """One process of the cluster, with its output in a file."""

    def __init__(self, name: str, folder: Path, arguments: list[str], environment: Mapping[str, str]) -> None:
        self.name = name
        self.log = folder / f"{name}-{secrets.token_hex(3)}.log"
        self._arguments = arguments
        self._environment = clean_environment() | dict(environment)
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return Started(
                [sys.executable, "-m", *self._arguments],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def another(self, name: str, arguments: list[str], environment: Mapping[str, str]) -> Part:
        """One more process like this one, but for these settings; its public URL is one more origin."""
        own = self._environment | dict(environment)
        own["RELAY_ALLOWED_ORIGINS"] += "," + own["RELAY_PUBLIC_URL"]
        return Part(name, self.log.parent, arguments, own)

    def output(self) -> str:
        """Everything it has said so far."""
        return self.log.read_text(errors="replace")

    def says(self, words: str, seconds: float = START_SECONDS, times: int = 1) -> str:
        """Wait until it has said these words so many times; the line in which it said them last."""
        give_up = time.monotonic() + seconds
        while True:
            lines = [line for line in self.output().splitlines() if words in line]
            if len(lines) >= times:
                return lines[-1]
            assert self.process.poll() is None, f"{self.name} ended with {self.process.poll()}:\n{self.output()}"
            assert time.monotonic() < give_up, f"{self.name} did not say {words!r}:\n{self.output()}"
            time.sleep(LOOK_SECONDS)

    def ends(self, seconds: float = STOP_SECONDS) -> int:
        """Wait for its end; its exit code."""
        return self.process.wait(seconds)

    def freeze(self) -> None:
        """Stop it without closing anything."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Undo `freeze`."""
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it as a crash would."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """End it as its operator would; its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.ends()

    def start_again(self) -> None:
        """The same once more, after it ended."""
        assert self.process.poll() is not None, f"{self.name} still runs"
        self.process = self._start()


class Agent(Part):
    """`relay serve` on a machine of its own: its own folder, hostname label and home."""

    @property
    def node(self) -> str:
        """The URL of the node that it is connected to."""
        line = self.says("  connected  node=")
        return line.split("node=")[1].split()[0]


class Rest:
    """REST as one person or key, on one node."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self.token = token

    def __call__(self, method: str, path: str, body: Any = None, status: int | None = None) -> Any:
        """The decoded answer; asserts `status`, or any success when None is given."""
        request = urllib.request.Request(self.url + path, method=method)
        request.add_header("authorization", f"Bearer {self.token}")
        data = None
        if body is not None:
            request.add_header("content-type", "application/json")
            data = json.dumps(body).encode()
        try:
            with urllib.request.urlopen(request, data, timeout=START_SECONDS) as answer:
                code, content = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            code, content = error.code, error.read()
        wanted = range(200, 300) if status is None else (status,)
        assert code in wanted, f"{method} {path}: {code} {content.decode(errors='replace')}"
        return json.loads(content) if content else None

    def on(self, url: str) -> Rest:
        """The same caller at another node."""
        return Rest(url, self.token)


class Team:
    """A fresh workspace of the cluster and those in it."""

    def __init__(self, cluster: Cluster, rest: Rest, workspace: str) -> None:
        self.cluster = cluster
        self.owner = rest
        self.workspace = workspace
        self.key: str = rest("POST", f"/api/workspaces/{workspace}/keys", {"name": "test"})["token"]

    def person(self, name: str, role: str) -> Rest:
        """Somebody who accepted an invitation with this role."""
        link = self.owner("POST", f"/api/workspaces/{self.workspace}/invitations", {"role": role})["url"]
        body = {"secret": link.partition("#invite=")[2], "name": name, "cli": True}
        return Rest(self.owner.url, Rest(self.owner.url, "none")("POST", "/api/invitations/accept", body)["token"])

    def agent(self, name: str, *arguments: str, token: str | None = None) -> Agent:
        """An agent with a state folder of its own, connected."""
        agent = self.cluster.agent(name, *arguments, token=token or self.key)
        agent.says("  connected  node=")
        return agent

    def machine(self, name: str) -> dict[str, Any]:
        """The machine of that name as the owner sees it."""
        answer = self.owner("GET", f"/api/resolve?q={name}&workspace={self.workspace}")
        return dict(answer["machine"])

    def machines(self) -> list[dict[str, Any]]:
        """The workspace's machines as the owner sees them."""
        return list(self.owner("GET", f"/api/machines?workspace={self.workspace}")["machines"])


class Cluster:
    """Two nodes and two sweepers unless asked otherwise; `relay serve` and REST against any of them."""

    def __init__(self, valkey: Valkey, database_url: str, folder: Path) -> None:
        self.valkey = valkey
        self.folder = folder
        self.database_url = database_url
        self.nodes: list[Part] = []
        self.urls: list[str] = []
        self.metrics: dict[str, str] = {}  # by node: where it serves its metrics
        self.sweepers: list[Part] = []
        self.agents: list[Agent] = []
        self.owner_token = ""
        self._teams: list[Team] = []
        self._owners: list[Rest] = []  # besides the founder

    def start(self, nodes: int = 2, sweepers: int = 2, settings: Mapping[str, str] | None = None) -> None:
        """Start everything and found the cluster; returns when all nodes are ready. `settings` are for its nodes."""
        ports = free_ports(2 * nodes)
        self.urls = [self.address(port) for port in ports[:nodes]]
        self.metrics = {url: f"http://127.0.0.1:{port}" for url, port in zip(self.urls, ports[nodes:], strict=True)}
        for number, (url, port) in enumerate(zip(self.urls, ports, strict=False), 1):
            own = {
                "RELAY_PORT": str(port),
                "RELAY_PUBLIC_URL": url,
                "RELAY_METRICS_PORT": str(urlsplit(self.metrics[url]).port),
            }
            name = f"node-{number}"
            environment = self._environment(name) | own | dict(settings or {})
            self.nodes.append(Part(name, self.folder, ["relay.cli", "node"], environment))
        for number in range(1, sweepers + 1):
            name = f"sweeper-{number}"
            self.sweepers.append(Part(name, self.folder, ["workers", "sweeper"], self._environment(name)))
        for url in self.urls:
            self.wait_ready(url)
        self.owner_token = self._found()

    def address(self, port: int) -> str:
        """Where others reach the node that listens on this port; a harness may stand in between."""
        return f"http://127.0.0.1:{port}"

    def redis_url(self, part: str) -> str:
        """Where this part finds Redis; a harness may stand in between."""
        return self.valkey.url

    def _environment(self, part: str) -> dict[str, str]:
        return {
            "RELAY_REDIS_URL": self.redis_url(part),
            "RELAY_DATABASE_URL": self.database_url,
            "RELAY_SECRET": SECRET,
            "RELAY_PUBLIC_URL": self.urls[0],
            "RELAY_ALLOWED_ORIGINS": ",".join(self.urls),
            "RELAY_DRAIN_SECONDS": "0.5",
            "RELAY_LOG_FORMAT": "text",
        }

    def _found(self) -> str:
        """As `relay admin bootstrap` does, in this process, which has imported everything already."""
        with ThreadPoolExecutor(1) as pool:  # there may be a loop in this thread
            link = pool.submit(asyncio.run, self._sign_in_link()).result()
        secret = link.partition("#sign-in=")[2]
        return str(Rest(self.urls[0], "none")("POST", "/api/sign-in", {"secret": secret, "cli": True})["token"])

    async def _sign_in_link(self) -> str:
        founder = await Founder.open(self._environment("bootstrap")["RELAY_DATABASE_URL"], SECRET)
        try:
            return await founder.sign_in_link(self.urls[0], await founder.found(None, None))
        finally:
            await founder.close()

    def wait_ready(self, url: str, seconds: float = START_SECONDS) -> None:
        """Wait until a node takes newcomers."""
        give_up = time.monotonic() + seconds
        why = "no answer"
        while time.monotonic() < give_up and any(part.process.poll() is None for part in self.nodes):
            try:
                with urllib.request.urlopen(f"{url}/readyz", timeout=1):
                    return
            except (OSError, urllib.error.URLError) as error:
                why = str(error)
            time.sleep(LOOK_SECONDS)
        raise AssertionError(f"{url} is not ready ({why}):\n" + "\n".join(part.output() for part in self.nodes))

    def team(self, name: str = "") -> Team:
        """A fresh workspace, owned by the founder, or by somebody else when the founder has as many as a person may."""
        if self._teams and len(self._teams) % TEAMS_EACH == 0:
            self._owners.append(self._teams[-1].person("another-founder", "member"))
        rest = self._owners[-1] if self._owners else Rest(self.urls[0], self.owner_token)
        made = rest("POST", "/api/workspaces", {"name": name or f"team-{secrets.token_hex(4)}"})
        self._teams.append(Team(self, rest, made["id"]))
        return self._teams[-1]

    def agent(self, name: str, *arguments: str, token: str, state: Path | None = None) -> Agent:
        """`relay serve` with a token; `state` is its machine's folder, a new one unless given."""
        home = state or Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.folder))
        environment = {
            "HOME": str(home),
            "RELAY_CONFIG_DIR": str(home / "config"),
            "RELAY_URL": ",".join(self.urls),
            "RELAY_TOKEN": token,
        }
        agent = Agent(f"agent-{name}", self.folder, ["relay.cli", "serve", "--name", name, *arguments], environment)
        self.agents.append(agent)
        return agent

    def other(self, url: str) -> str:
        """A node that is not this one."""
        return next(each for each in self.urls if each != url)

    def node_at(self, url: str) -> Part:
        """The process that listens at this URL."""
        return self.nodes[self.urls.index(url)]

    def cli(self, token: str, *arguments: str, url: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run the CLI as somebody, with a config folder of its own."""
        environment = clean_environment() | {
            "RELAY_URL": url or self.urls[0],
            "RELAY_TOKEN": token,
            "RELAY_CONFIG_DIR": str(self.folder / "cli"),
        }
        return run([sys.executable, "-m", "relay.cli", *arguments], env=environment, timeout=START_SECONDS)

    def stop_agents(self) -> None:
        """End every agent at once; tests leave none to the next one."""
        for agent in self.agents:
            agent.kill()
        self.agents.clear()

    def stop(self) -> None:
        """End everything."""
        self.stop_agents()
        for part in (*self.sweepers, *self.nodes):
            part.kill()


def clean_environment() -> dict[str, str]:
    """This process's environment without anything that would configure a part by accident."""
    return {name: value for name, value in os.environ.items() if not name.startswith("RELAY_")}


@contextlib.contextmanager
def running_cluster(valkey: Valkey, database_url: str | None = None, **how: Any) -> Iterator[Cluster]:
    """A cluster in a temporary folder, on SQLite unless another registry is named; `how` goes to its `start`."""
    folder = Path(tempfile.mkdtemp(prefix="cluster-", dir="/tmp"))
    cluster = Cluster(valkey, database_url or f"sqlite+aiosqlite:///{folder}/relay.db", folder)
    try:
        cluster.start(**how)
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)
