"""Shows what a node does with peers that mean harm: bounded memory, a count of what was met, and prompt neighbours."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from relay.node.socket import CONTROL_MARGIN_BYTES, FAREWELL_SECONDS
from relay.rules import frames, limits
from relay.rules.websocket import BINARY
from tests.support.bare import Bare, BareMachine, a_session, attach, bare, bare_browser, output
from tests.support.client_stream import FINAL, client_frame
from tests.support.cluster import Team
from tests.support.metrics import Metrics

LIMITS = "relay_limits_reached"
CLOSED = "relay_sockets_closed"
GIVEN_UP = ("HALF_OPEN_CONNECTIONS", "REQUEST_READ_SECONDS")  # requests that are not whole
HALF_OPEN = 10_000  # more than twice what a node keeps; both sides have fewer than 20,000 files
HONEST = 10  # handshakes among them
PROMPT_SECONDS = 2.0  # for a whole handshake, or a question and its answer, on a busy computer
QUESTION_BYTES = 24 * limits.MIB  # of a flood of small frames are read at most while a question is answered, on average
HALF_OPEN_GROWTH_BYTES = 40 * limits.MIB  # twice what `HALF_OPEN_CONNECTIONS` says, as memory comes back in pages
GROWTH_BYTES = 16 * limits.MIB  # an outbox with its margin, and what passes through at the time
FLOOD_BYTES = 400 * limits.MIB  # at least; far more than any buffer between two processes
SMALL_WINDOW_BYTES = 32 * limits.KIB
STOP_SECONDS = 20.0


@pytest.fixture
def node(team: Team) -> str:
    """The node that is attacked."""
    return team.cluster.urls[1]


@pytest.fixture
def metrics(team: Team, node: str) -> Metrics:
    """What it counts from here on."""
    return Metrics(team.cluster, node)


class Neighbours:
    """An honest agent and an honest browser on the attacked node."""

    def __init__(self, machine: BareMachine, agent: Bare, browser: Bare) -> None:
        self._machine = machine
        self._agent = agent
        self._browser = browser
        self._ref = 0

    def ask(self) -> float:
        """A question and its answer; how many seconds they took."""
        self._ref += 1
        began_at = time.monotonic()
        self._browser.say(type="sessions", ref=self._ref, machine=self._machine.id)
        self._agent.say(type="answer", ref=self._agent.hears("request")["ref"], result={"sessions": []})
        self._browser.hears("result", ref=self._ref)
        return time.monotonic() - began_at


@pytest.fixture
def neighbours(team: Team, node: str) -> Iterator[Neighbours]:
    """Who must not notice."""
    machine = BareMachine(team, "honest")
    with machine.agent(node) as agent, bare_browser(node, team.owner.token) as browser:
        yield Neighbours(machine, agent, browser)


class Flood(threading.Thread):
    """Sends the same bytes on a connection as fast as it takes them, until told to stop or cut off."""

    def __init__(self, connection: socket.socket, stream: bytes) -> None:
        super().__init__(daemon=True)
        self._connection = connection
        self._stream = stream
        self.sent_bytes = 0
        self.cut = False
        self.stop = threading.Event()

    def run(self) -> None:
        """See `threading.Thread`."""
        try:
            while not self.stop.is_set():
                self._connection.sendall(self._stream)
                self.sent_bytes += len(self._stream)
        except OSError:
            self.cut = True


@contextmanager
def flooding(connection: socket.socket, stream: bytes) -> Iterator[Flood]:
    """Somebody who sends at line rate until the block ends."""
    flood = Flood(connection, stream)
    flood.start()
    try:
        yield flood
    finally:
        flood.stop.set()
        flood.join(STOP_SECONDS)
        assert not flood.is_alive()


def test_ten_thousand_handshakes_that_never_end_cost_a_bounded_amount_and_the_oldest_their_place(
    team: Team, node: str, metrics: Metrics, neighbours: Neighbours
) -> None:
    where = (urlsplit(node).hostname, urlsplit(node).port)
    before = metrics.resident_bytes()
    with contextlib.ExitStack() as held:
        opened: list[socket.socket] = []
        for number in range(HALF_OPEN):
            opened.append(held.enter_context(socket.create_connection(where, timeout=STOP_SECONDS)))
            opened[-1].sendall(b"GET /ws/agent HTTP/1.1\r\nhost: relay.t")
            if number % (HALF_OPEN // HONEST) == 0:
                began_at = time.monotonic()
                with bare_browser(node, team.owner.token):
                    assert time.monotonic() - began_at < PROMPT_SECONDS
                assert neighbours.ask() < PROMPT_SECONDS
        least = HALF_OPEN - limits.HALF_OPEN_CONNECTIONS
        assert opened[least - 1].recv(1_024).startswith(b"HTTP/1.1 408 ")  # so all before it are dropped, too
        growth = metrics.resident_bytes() - before
        print(f"\n{HALF_OPEN} half-open handshakes: {growth / limits.MIB:.1f} MiB more")
        assert growth < HALF_OPEN_GROWTH_BYTES
        assert opened[0].recv(1_024).startswith(b"HTTP/1.1 408 ")
        opened[-1].setblocking(False)
        with pytest.raises(BlockingIOError):  # nothing was said to the newest
            opened[-1].recv(1)
        # Where it takes seconds to open so many, some are given up for their own slowness before it is their turn.
        assert sum(metrics.moved(LIMITS, limit=limit) for limit in GIVEN_UP) >= least


def test_an_agent_that_sends_for_ever_to_a_session_that_nobody_watches_costs_its_neighbours_nothing(
    team: Team, node: str, metrics: Metrics, neighbours: Neighbours
) -> None:
    machine, session = BareMachine(team, "loud"), a_session()
    with machine.agent(node, session) as agent:
        before = metrics.resident_bytes()
        frame = frames.pack(output(session, 1), bytes(60 * limits.KIB))
        slowest = 0.0
        with flooding(agent.socket.socket, client_frame(FINAL | BINARY, frame) * 16) as flood:
            while flood.sent_bytes < FLOOD_BYTES:
                slowest = max(slowest, neighbours.ask())
                assert not flood.cut
        growth = metrics.resident_bytes() - before
        print(f"\n{flood.sent_bytes / limits.MIB:.0f} MiB to nobody: {growth / limits.MIB:.1f} MiB more")
        assert slowest < PROMPT_SECONDS
        assert growth < GROWTH_BYTES
        with bare_browser(node, team.owner.token) as browser:
            attach(browser, agent, machine, session)


def test_an_agent_that_sends_for_ever_to_no_session_and_reads_nothing_is_closed_as_slow_and_then_cut(
    team: Team, node: str, metrics: Metrics, neighbours: Neighbours
) -> None:
    """Each of its frames is answered by an error, until its outbox is full of them."""
    machine = BareMachine(team, "lost")
    with stalled_agent(machine, node) as agent:
        before = metrics.resident_bytes()
        frame = frames.pack(output(a_session(), 1), b"x")
        asked = 0
        with flooding(agent.socket.socket, client_frame(FINAL | BINARY, frame) * 100) as flood:
            give_up = time.monotonic() + STOP_SECONDS + FAREWELL_SECONDS
            while not flood.cut:
                neighbours.ask()
                asked += 1
                assert time.monotonic() < give_up, "nobody cuts it"
        metrics.reaches(1, CLOSED, role="agent", code="4102")
        growth = metrics.resident_bytes() - before
        sent = f"{flood.sent_bytes / limits.MIB:.0f} MiB to no session during {asked} questions"
        print(f"\n{sent}: {growth / limits.MIB:.1f} MiB more")
        assert flood.sent_bytes / asked < QUESTION_BYTES
        assert growth < GROWTH_BYTES
        assert flood.sent_bytes > limits.OUTBOX_BYTES + CONTROL_MARGIN_BYTES


@contextmanager
def stalled_agent(machine: BareMachine, url: str) -> Iterator[Bare]:
    """An agent that has been welcomed and reads nothing more."""
    with socket.socket() as plain:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_WINDOW_BYTES)
        plain.connect((urlsplit(url).hostname, urlsplit(url).port))
        with bare(url, "/ws/agent", machine.token, sock=plain, max_queue=1, close_timeout=1) as agent:
            agent.say(**machine.hello())
            agent.hears("welcome")
            yield agent


def test_an_agent_that_sends_to_no_session_and_reads_is_told_of_each_frame_and_stays(team: Team, node: str) -> None:
    machine = BareMachine(team, "confused")
    with machine.agent(node) as agent:
        session = a_session()
        for _ in range(1_000):
            agent.frame(output(session, 1), b"x")
        for _ in range(1_000):
            error = agent.hears("error")
            assert (error["code"], error["session"]) == ("not-found", session["id"])
