"""Loads a relay with locust: programs that list and resolve machines over REST, people who keep the picker open.

    RELAY_TOKEN=rly_… locust -f loadtests/bring/locustfile.py --host https://relay.example

--host takes several nodes, comma separated; RELAY_TOKEN is a person's token, RELAY_WORKSPACE the workspace (the token's
first one unless given). Load only what is yours. The people need the package `websockets` beside locust. Locust waits
for each answer before it asks again, so a relay that stalls is asked less: `python -m loadtests` counts what was due.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from locust import FastHttpUser, User, between, task
from locust.exception import StopUser
from websockets.sync.client import ClientConnection, connect

TOKEN = os.environ.get("RELAY_TOKEN", "")
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}
STAY_SECONDS = (5.0, 15.0)  # that a person keeps the picker open
OPEN_SECONDS = 10.0
MESSAGE_BYTES = 16 * 2**20  # a snapshot of ten thousand machines is one message


class Program(FastHttpUser):
    """Asks for machines over REST, at any of the nodes."""

    wait_time = between(0.1, 0.5)
    names: list[str]

    def __init__(self, environment: Any) -> None:
        self.host = _node(environment.host)  # each stays at one node, as behind a proxy that keeps connections
        super().__init__(environment)

    def on_start(self) -> None:
        """Learn which workspace and which names there are."""
        with self.client.get("/api/me", headers=AUTHORIZED, catch_response=True) as answer:
            if answer.status_code != 200:
                answer.failure(f"{answer.status_code}: is RELAY_TOKEN a person's token of this relay?")
                raise StopUser
            self.workspace = os.environ.get("RELAY_WORKSPACE") or answer.json()["workspaces"][0]["id"]
        self.names = []

    @task(3)
    def list_machines(self) -> None:
        """What a picker or a script asks first."""
        url = f"/api/machines?workspace={self.workspace}"
        with self.client.get(url, headers=AUTHORIZED, name="/api/machines", catch_response=True) as answer:
            if answer.status_code == 200:
                self.names = [machine["name"] for machine in answer.json()["machines"]]

    @task(1)
    def resolve(self) -> None:
        """One machine by its name."""
        if self.names:
            url = f"/api/resolve?workspace={self.workspace}&q={random.choice(self.names)}"
            self.client.get(url, headers=AUTHORIZED, name="/api/resolve")


class Person(User):
    """Opens the machine picker, watches for a while, leaves."""

    wait_time = between(0.1, 0.5)

    @task
    def watch(self) -> None:
        """From the first packet to the machines on the screen, then whatever is told until the person leaves."""
        node = _node(self.environment.host)
        began = time.perf_counter()
        with self._measured("welcome", began):
            socket = connect(
                f"{node.replace('http', 'ws', 1)}/ws/browser",
                subprotocols=["relay.v1"],  # type: ignore[list-item]
                additional_headers=AUTHORIZED,
                open_timeout=OPEN_SECONDS,
                max_size=MESSAGE_BYTES,
            )
            socket.send(json.dumps({"type": "hello", "client": secrets.token_hex(8), "label": "locust"}))
            welcome = _until(socket, "welcome")
        workspace = os.environ.get("RELAY_WORKSPACE") or welcome["workspaces"][0]["id"]
        with socket:
            with self._measured("snapshot", began):
                socket.send(json.dumps({"type": "subscribe", "ref": 1, "workspace": workspace}))
                _until(socket, "snapshot")
            with self._measured("stay", time.perf_counter()):
                _listen(socket, random.uniform(*STAY_SECONDS))

    @contextmanager
    def _measured(self, name: str, began: float) -> Iterator[None]:
        error: Exception | None = None
        try:
            yield
        except Exception as caught:
            error = caught
            raise
        finally:
            self.environment.events.request.fire(
                request_type="WS",
                name=name,
                response_time=(time.perf_counter() - began) * 1000,
                response_length=0,
                exception=error,
                context={},
            )


def _node(hosts: str | None) -> str:
    """One of the nodes that --host names."""
    return random.choice((hosts or "http://127.0.0.1:8400").split(",")).rstrip("/")


def _until(socket: ClientConnection, kind: str) -> dict[str, Any]:
    """The next message of this kind; raises `TimeoutError` or `ConnectionClosed`."""
    while True:
        message = socket.recv(timeout=OPEN_SECONDS)
        if isinstance(message, str) and (found := json.loads(message))["type"] == kind:
            return dict(found)


def _listen(socket: ClientConnection, seconds: float) -> None:
    """Read for so long; raises `ConnectionClosed` if the relay hangs up before."""
    leaves = time.perf_counter() + seconds
    while (left := leaves - time.perf_counter()) > 0:
        try:
            socket.recv(timeout=left)
        except TimeoutError:
            return
