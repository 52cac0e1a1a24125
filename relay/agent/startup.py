"""Starts the agent: finds its cluster, registers if it must, builds the parts, and serves until a signal comes."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import pwd
import signal
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from random import SystemRandom
from typing import NamedTuple

import structlog

from relay.agent.agent import Agent, Wiring
from relay.agent.clock import Clock
from relay.agent.environment import Account
from relay.agent.history import History
from relay.agent.link import Surroundings
from relay.agent.outlet import Switch
from relay.agent.registration import Registration, Wish, must_register
from relay.agent.sessions import Host, Sessions
from relay.agent.verdict import Leave
from relay.client.addresses import in_the_clear
from relay.client.private_files import make_folder, open_own
from relay.client.profile import Enrolment, Profile, config_folder, split_urls
from relay.errors import Conflict, Exit, Misconfigured
from relay.traces import LAST_SECONDS, Traces, open_traces

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Place(NamedTuple):
    """Which cluster this agent serves, with what it may register there, and where it keeps its files."""

    url: str  # the key of the cluster in all files
    urls: list[str]
    token: str | None
    workspace: str | None
    folder: Path

    @property
    def stem(self) -> str:
        """The beginning of the names of the files for this cluster."""
        return f"agent-{hashlib.sha256(self.url.encode()).hexdigest()[:8]}"


def find_place(url: str | None, environ: Mapping[str, str] = os.environ) -> Place:
    """The cluster that is named, or that of RELAY_URL, or that of the login; raises `Misconfigured`."""
    folder = config_folder(environ)
    profile = Profile(folder)
    named = url or environ.get("RELAY_URL")
    urls = split_urls(named) if named else []
    login = profile.login(urls[0] if urls else None)
    if not urls:
        if login is None:
            raise Misconfigured("no relay is known: name one with --url or RELAY_URL, or run `relay login`")
        urls = [login.url]
    token = _token(environ)
    if token is not None:
        return Place(urls[0], urls, token, None, folder)
    if login is not None:
        return Place(urls[0], list(dict.fromkeys([*urls, *login.nodes])), login.token, login.workspace, folder)
    return Place(urls[0], urls, None, None, folder)


async def serve_until_stopped(place: Place, wish: Wish) -> Leave:
    """Serve this machine until a signal comes or the relay says to leave; raises `RelayError` for what a person has to
    put right first."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # `nohup relay serve &` is to outlive its terminal
            loop.add_signal_handler(number, stop.set)
    if in_the_clear(place.url):
        structlog.get_logger().warning("this relay is not encrypted: whoever is on the way sees all", url=place.url)
    with only_agent(place.folder / f"{place.stem}.lock"):
        surroundings = Surroundings(Clock(), SystemRandom(), socket.gethostname)
        registering = asyncio.create_task(_enrol(place, wish, surroundings))
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([registering, stopping], return_when=asyncio.FIRST_COMPLETED)
            if not registering.done():
                return Leave(Exit.OK, "stopped")
            return await _serve(place, registering.result(), surroundings, stop, ephemeral=wish.ephemeral)
        finally:
            registering.cancel()
            stopping.cancel()
            await asyncio.wait([registering, stopping])


@contextmanager
def only_agent(path: Path) -> Iterator[None]:
    """Be the only agent of this installation for this cluster: two with one identity would push each other out for
    ever. Raises `Conflict` if one runs already."""
    try:
        make_folder(path.parent)
        lock = open_own(path)
    except OSError as error:
        raise Misconfigured(f"{path} cannot be used: {error.strerror}") from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.read(lock, 32).decode(errors="replace").strip()
            raise Conflict(f"`relay serve` already runs here for this relay (process {pid})") from None
        os.truncate(lock, 0)
        os.write(lock, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(lock)


def account() -> Account:
    """Whom this process runs as."""
    try:
        entry = pwd.getpwuid(os.getuid())
    except KeyError:  # a container may run as a user that nobody wrote down
        return Account(str(os.getuid()), os.environ.get("HOME", "/"), "")
    return Account(entry.pw_name, entry.pw_dir, entry.pw_shell)


async def _enrol(place: Place, wish: Wish, surroundings: Surroundings) -> Enrolment:
    profile = Profile(place.folder)
    entry = profile.enrolment(place.url)
    if not must_register(entry, wish, credential=place.token is not None):
        assert entry is not None, "who need not register did so before"
        return entry
    from relay.client.api import api  # the HTTP client is for the first start only

    async with api(place.urls, place.token) as caller:
        return await Registration(profile, place.url, caller, surroundings).register(wish, place.workspace)


async def _serve(
    place: Place, enrolment: Enrolment, surroundings: Surroundings, stop: asyncio.Event, *, ephemeral: bool
) -> Leave:
    history = History(place.folder / f"{place.stem}.sqlite3")
    epoch = await history.open(surroundings.clock.unix())
    traces = traces_wanted(os.environ)
    try:
        switch = Switch()
        sessions = Sessions(epoch, switch, surroundings.clock, Host(account(), dict(os.environ)), history)
        sessions.traces = traces
        parts = Wiring(Profile(place.folder), sessions, history, switch, surroundings)
        return await Agent(enrolment, place.urls, parts, ephemeral=ephemeral).run(stop)
    finally:
        await history.close()
        late = asyncio.get_running_loop().call_later(LAST_SECONDS, traces.give_up)
        await asyncio.to_thread(traces.close)  # which sends the last ones
        late.cancel()


def traces_wanted(environ: Mapping[str, str]) -> Traces:
    """Traces as the environment asks for them; where that takes what is not installed, a line of the log and none: such
    variables may be there for the programs that run in sessions."""
    try:
        return open_traces(environ, "relay-agent")
    except Misconfigured as error:
        structlog.get_logger().warning("nothing is traced", why=error.message)
        return Traces()


def _token(environ: Mapping[str, str]) -> str | None:
    path = environ.get("RELAY_TOKEN_FILE")
    if environ.get("RELAY_TOKEN"):
        return environ["RELAY_TOKEN"]
    if not path:
        return None
    try:
        return Path(path).read_text().strip() or None
    except OSError as error:
        raise Misconfigured(f"RELAY_TOKEN_FILE: {path} cannot be read: {error.strerror}") from None
