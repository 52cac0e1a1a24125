"""Says anything at all to the conversations of a real node in process, and expects one of the documented answers."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args
from uuid import uuid4

import msgspec
import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.errors import Close, RelayError
from relay.node.browser import Browser
from relay.rules import frames, tokens
from relay.rules.agent_messages import FromAgent
from relay.rules.browser_messages import FromBrowser
from relay.rules.frames import Header
from relay.rules.messages import Message
from relay.web.agent_socket import AgentConversation
from relay.web.browser_socket import BrowserConversation
from relay.web.sockets import Bucket
from tests.support.story_peer import Peer
from tests.support.valkey import Valkey
from tests.web.site import Site, open_site

EXAMPLES = 150  # per kind of peer and test; each costs about a millisecond
IDS = [str(uuid4()) for _ in range(2)]
CODES = {"not-found", "offline", "unavailable", "limit-reached", "forbidden", "not-attached", "conflict", "invalid"}
FINAL = {Close.PROTOCOL_ERROR, Close.TOO_BIG}

odd_text = st.one_of(
    st.text(max_size=20), st.sampled_from(["", "\0", "\n", "\x1b]0;x\x07", "\u202e", "../..", "' OR 1=1--", *IDS]),
    st.just("x" * 300),
)  # fmt: skip
odd_numbers = st.one_of(
    st.integers(-2, 3), st.sampled_from([2**16, 2**31, 2**32, 2**53, 2**63, 2**64, 10**400, -(2**63)]),
    st.sampled_from([0.5, 1e308, -0.0, float("nan"), float("inf"), 253_402_300_800.0]),
)  # fmt: skip
anything = st.recursive(
    st.none() | st.booleans() | odd_numbers | odd_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(odd_text, inner, max_size=4),
    max_leaves=8,
)


def messages(kinds: tuple[type[Message], ...]) -> st.SearchStrategy[str]:
    """Texts that are nearly one of these messages: known fields with likely and unlikely values, some left out."""
    return st.one_of([_nearly(kind) for kind in kinds])


def _nearly(kind: type[Message]) -> st.SearchStrategy[str]:
    info = msgspec.inspect.type_info(kind)
    assert isinstance(info, msgspec.inspect.StructType)
    fields = {field.encode_name: st.one_of(_likely(field.type), _likely(field.type), anything) for field in info.fields}
    some = st.fixed_dictionaries({}, optional=fields)
    all_of_them = st.fixed_dictionaries(fields)
    shaped = st.one_of(all_of_them, all_of_them, some).map(lambda body: {"type": info.tag, **body})
    return st.one_of(shaped.map(json.dumps), shaped.map(_twice), anything.map(json.dumps), st.text(max_size=30))


def _twice(body: dict[str, Any]) -> str:
    """The same fields once more, the other way round, behind the first: the last of two wins or nobody does."""
    text = json.dumps(body)
    return text[:-1] + "," + json.dumps(dict(reversed(body.items())))[1:]


def _likely(kind: msgspec.inspect.Type) -> st.SearchStrategy[Any]:
    """What a field of this type could hold in earnest."""
    match kind:
        case msgspec.inspect.StrType(pattern=str() as pattern) if "{12}" in pattern:
            return st.sampled_from(IDS)
        case msgspec.inspect.StrType():
            return st.sampled_from(["a-client-id", "host.test", "a title"])
        case msgspec.inspect.IntType():
            return st.integers(1, 100)
        case msgspec.inspect.FloatType():
            return st.floats(0, 1e9)
        case msgspec.inspect.BoolType():
            return st.booleans()
        case msgspec.inspect.LiteralType(values=values):
            return st.sampled_from(values)
        case msgspec.inspect.UnionType(types=types):
            return st.one_of([_likely(each) for each in types])
        case msgspec.inspect.NoneType():
            return st.none()
        case msgspec.inspect.ListType(item_type=item):
            return st.lists(_likely(item), max_size=3)
        case msgspec.inspect.DictType():
            return st.dictionaries(odd_text, st.text(max_size=5), max_size=3)
        case msgspec.inspect.StructType(fields=fields):
            return st.fixed_dictionaries({field.encode_name: _likely(field.type) for field in fields})
        case _:
            return anything


headers = st.builds(
    Header,
    st.sampled_from([*frames.Kind, 0, 7, 255]),
    st.integers(0, 255),
    st.sampled_from([0, 1, 2, 65_535]),
    st.sampled_from([0, 1, 2**32 - 1]),
    st.binary(min_size=16, max_size=16) | st.sampled_from([bytes.fromhex(id.replace("-", "")) for id in IDS]),
    st.sampled_from([0, 1, 2**53 - 1, 2**53, 2**64 - 1]),
)
noise = st.binary(max_size=64) | st.builds(frames.pack, headers, st.binary(max_size=40))


class Bench:
    """A node in process, whose conversations are spoken to one by one."""

    def __init__(
        self, runner: asyncio.Runner, site: Site, errands: asyncio.Task[None], machine: dict[str, Any]
    ) -> None:
        self.runner = runner
        self.site = site
        self.errands = errands
        self.machine = machine
        self.doors = replace(site.node.doors(), bucket=Bucket(1e9, 10**9))
        self.person = ""

    async def browser(self) -> Peer:
        """Somebody's browser, at the door."""
        authenticator = self.site.node.authenticator
        identity = await authenticator.by_token(self.person)
        peer = Peer(self.site.node.errands)
        browser = Browser(peer, identity, authenticator.claim(self.person))
        self.site.node.hub.browsers.add(browser)
        peer.listener = BrowserConversation(self.doors, peer, browser)
        return peer

    async def agent(self) -> Peer:
        """The machine's agent, at the door."""
        peer = Peer(self.site.node.errands)
        token = tokens.read_machine(self.site.parts.secrets, self.machine["machineToken"])
        peer.listener = AgentConversation(self.doors, peer, token)
        return peer

    async def settled(self) -> None:
        """Everything that was begun is done."""
        await asyncio.sleep(0)
        await self.site.node.errands.finished()
        await asyncio.sleep(0)

    async def hears(self, peer: Peer, said: str | bytes) -> None:
        """Hand it over as a transport does; only errors that close with a code may come out."""
        if peer.ended or peer.closing is not None:
            return
        listener = peer.listener
        assert listener is not None
        try:
            listener.text(said) if isinstance(said, str) else listener.binary(said)
        except RelayError as error:
            peer.refuse(error)
        listener.flush()
        await self.settled()


@pytest.fixture(scope="module")
def bench(_valkey: Valkey) -> Iterator[Bench]:
    """A founded site with one machine and its owner."""
    _valkey.empty()
    with asyncio.Runner() as runner, tempfile.TemporaryDirectory() as folder:
        stack = AsyncExitStack()

        async def build() -> Bench:
            site = await stack.enter_async_context(open_site(Path(folder), _valkey))
            site.node.bus.publish = lambda *_, **__: None  # type: ignore[method-assign]
            site.node.bus.subscribe = lambda *_: None  # type: ignore[method-assign]
            errands = asyncio.get_running_loop().create_task(site.node.errands.run())
            await asyncio.sleep(0)
            owner = await site.caller(site.owner)
            made = Bench(runner, site, errands, await owner.register("fuzzed", visibility="SHARED"))
            made.person = owner.token
            IDS[0] = made.machine["machine"]["id"]
            return made

        async def leave(bench: Bench) -> None:
            bench.errands.cancel()
            await asyncio.wait([bench.errands])
            await stack.aclose()

        found = runner.run(build())
        yield found
        runner.run(leave(found))


def is_documented(peer: Peer, welcome: bool) -> None:
    """Whatever was said to the peer is of the protocol, and whatever closed it is one of two codes."""
    assert peer.closing is None or peer.closing in FINAL, peer.closing
    for message in peer.heard:
        if message["type"] == "error":
            assert message["code"] in CODES, message
    assert ("welcome" in [message["type"] for message in peer.heard]) <= welcome


def fuzzed(bench: Bench, said: list[str | bytes], role: str, *, welcomed: bool) -> None:
    """Say it all to a fresh peer; the node must stay as it was."""

    async def story() -> None:
        peer = await (bench.browser() if role == "browser" else bench.agent())
        if welcomed and role == "browser":
            peer.says(type="hello", client="a-client-id")
        elif welcomed:
            peer.says(type="hello", instance=IDS[1], hostname="host.test", version="1", generation=2**40)
        await bench.settled()
        for each in said:
            await bench.hears(peer, each)
        is_documented(peer, True)
        if not peer.ended:
            peer.is_lost()
        await bench.settled()
        hub = bench.site.node.hub
        assert (hub.agents, hub.knocking, hub.browsers, hub.away) == ({}, set(), set(), {})

    with structlog.testing.capture_logs() as logged:
        bench.runner.run(story())
    assert [entry for entry in logged if entry["log_level"] in ("error", "critical")] == []


FROM = {"agent": get_args(FromAgent), "browser": get_args(FromBrowser)}
LENIENT = settings(
    max_examples=EXAMPLES, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)


@pytest.mark.parametrize("role", FROM)
@pytest.mark.parametrize("welcomed", [False, True], ids=["first", "welcomed"])
def test_whatever_is_said_is_answered_by_a_documented_code_and_leaves_nothing(
    bench: Bench, role: str, welcomed: bool
) -> None:
    @LENIENT
    @given(said=st.lists(messages(FROM[role]) | noise, min_size=1, max_size=4))
    def say(said: list[str | bytes]) -> None:
        fuzzed(bench, said, role, welcomed=welcomed)

    say()
