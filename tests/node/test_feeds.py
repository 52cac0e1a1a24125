"""Shows that nobody is told of a machine that was hidden from them, or left believing what was only a doubt."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import msgspec
import pytest

from relay.node.browser import Browser
from relay.node.feeds import Feeds
from relay.rules.access import Identity
from relay.rules.browser_messages import Subscribe
from relay.rules.machine import Owner
from relay.rules.timing import LIVE_SECONDS
from tests.node.fleet import Fleet
from tests.rules.samples import ACME, number

STRANGER = Identity(
    kind="person", id="stranger", name="stranger", credential="token", roles={ACME: "member"}, workspaces={ACME: "acme"}
)


class Page:
    """The socket of a page, which reads when a test lets it."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.room = asyncio.Event()
        self.room.set()

    def send_text(self, data: bytes) -> bool:
        """Note a message."""
        self.told.append(json.loads(data))
        return True

    async def drained(self) -> None:
        """Wait until the page reads."""
        await self.room.wait()

    def names(self, kind: str) -> list[str]:
        """The machines that messages of this type told of, by name."""
        if kind == "snapshot":
            return [each["name"] for told in self.told if told["type"] == kind for each in told["machines"]]
        return [told["machine"]["name"] for told in self.told if told["type"] == kind]


def hide(fleet: Fleet, id: str, kind: str = "machine") -> None:
    """The machine becomes PRIVATE and gets a telling name; this node hears that it changed and has yet to read how."""
    secret = {"visibility": "PRIVATE", "owner": Owner("jane", "jane"), "name": "hidden"}
    fleet.rows[id] = msgspec.structs.replace(fleet.rows[id], **secret)
    fleet.change(kind, id)
    fleet.directory._changed(fleet.table[-1:])


@pytest.mark.parametrize("kind", ["machine", "member"])
async def test_a_machine_that_is_hidden_while_a_snapshot_is_read_is_not_in_it(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet, page = Fleet(3, monkeypatch), Page()
    feeds = Feeds(fleet.directory, lambda workspace: None, lambda workspace: 0 if workspace == ACME else 1)
    reading = fleet.directory.machines

    async def machines(workspace: str) -> Any:
        view = await reading(workspace)
        hide(fleet, number(1), kind)  # the change lands when all was read and nothing was sent
        return view

    monkeypatch.setattr(fleet.directory, "machines", machines)
    browser = Browser(cast(Any, page), STRANGER, "")
    await feeds.subscribe(browser, Subscribe(ref=1, workspace=ACME))
    assert "box-1" not in page.names("snapshot")
    await feeds._tick(ACME)
    told = page.names("snapshot") + page.names("machine")
    assert sorted(told) == ["box-0", "box-2"]


async def test_a_machine_that_is_hidden_while_a_slow_page_is_waited_for_is_not_told_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fleet, page = Fleet(3, monkeypatch), Page()
    feeds = Feeds(fleet.directory, lambda workspace: None, lambda workspace: 0 if workspace == ACME else 1)
    browser = Browser(cast(Any, page), STRANGER, "")
    await feeds.subscribe(browser, Subscribe(ref=1, workspace=ACME))
    fleet.rename(number(1), "renamed")
    view = await fleet.directory.lately(ACME)
    feed = browser.feeds[ACME]
    feed.owed.add(number(1))
    hide(fleet, number(1))
    await feeds._tell(feed, view)
    assert page.names("machine") == []
    await feeds._tick(ACME)
    assert [told["id"] for told in page.told if told["type"] == "gone"] == [number(1)]


@pytest.mark.parametrize("by", ["a change", "a snapshot"])
async def test_what_was_told_while_silence_proved_nothing_is_told_anew_even_if_nobody_looked_until_it_did(
    by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a node that stood still for a minute or two right after Redis had lost its memory."""
    fleet, page = Fleet(2, monkeypatch), Page()
    feeds = Feeds(fleet.directory, lambda workspace: None, lambda workspace: 0 if workspace == ACME else 1)
    browser = Browser(cast(Any, page), STRANGER, "")
    await feeds.subscribe(browser, Subscribe(ref=1, workspace=ACME))
    await feeds._tick(ACME)
    del fleet.records[number(1)]
    fleet.settled = False
    if by == "a change":
        feeds.mark(ACME, [number(1)])
        await feeds._tick(ACME)
    else:
        await feeds.subscribe(browser, Subscribe(ref=2, workspace=ACME))
    assert states(page)["box-1"] == "degraded"
    fleet.now += 120
    fleet.settled = True
    fleet.beat()
    await feeds._tick(ACME)
    assert states(page) == {"box-0": "live", "box-1": "offline"}


async def followed(fleet: Fleet, page: Page, batch_seconds: float) -> Feeds:
    """A page that follows the team, and has been told of it."""
    feeds = Feeds(fleet.directory, lambda workspace: None, lambda workspace: 0)
    feeds.batch_seconds = batch_seconds
    await feeds.subscribe(Browser(cast(Any, page), STRANGER, ""), Subscribe(ref=1, workspace=ACME))
    await feeds._tick(ACME)
    return feeds


async def test_a_team_in_which_nothing_is_due_is_left_alone_and_a_band_is_looked_at_when_it_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A node follows thousands of teams, and pays most for what it does for each while nothing happens."""
    fleet, page = Fleet(2, monkeypatch), Page()
    feeds = await followed(fleet, page, batch_seconds=300)
    watched, now = feeds._watched[ACME], asyncio.get_running_loop().time()
    ends = now + LIVE_SECONDS
    assert not watched.due(now, feeds.batch_seconds)
    assert not watched.due(ends - 1, feeds.batch_seconds)
    assert watched.due(ends + 1, feeds.batch_seconds)
    assert watched.due(now + 300, feeds.batch_seconds)
    feeds.mark(ACME, [number(1)])
    assert watched.due(now, feeds.batch_seconds)
    await feeds._tick(ACME)
    assert not watched.due(now, feeds.batch_seconds)
    page.room.clear()  # the page reads no more, so what it is to be told is owed to it
    feeds.mark(ACME, [number(1)])
    await feeds._tick(ACME)
    assert watched.due(now, feeds.batch_seconds)
    page.room.set()
    await feeds._tick(ACME)
    assert not watched.due(now, feeds.batch_seconds)


async def test_a_machine_that_was_heard_since_is_not_looked_at_when_its_band_would_have_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fleet, page = Fleet(2, monkeypatch), Page()
    feeds = await followed(fleet, page, batch_seconds=0)
    fleet.now += LIVE_SECONDS - 1
    fleet.beat()
    await feeds._tick(ACME)
    assert feeds._watched[ACME].look_at > asyncio.get_running_loop().time() + LIVE_SECONDS / 2


async def test_a_workspace_that_cannot_be_read_holds_up_no_bell_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.node.feeds.GATHER_SECONDS", 0.0)
    fleet, page = Fleet(2, monkeypatch), Page()
    feeds = Feeds(fleet.directory, lambda workspace: None, lambda workspace: 0 if workspace == ACME else 1)
    browser = Browser(cast(Any, page), msgspec.structs.replace(STRANGER, roles={ACME: "member", "b": "member"}), "")
    for workspace in ("b", ACME):
        await feeds.subscribe(browser, Subscribe(ref=1, workspace=workspace))
    lately, waits = fleet.directory.lately, asyncio.Event()

    async def lately_or_never(workspace: str) -> Any:
        if workspace == "b":
            waits.set()
            await asyncio.Event().wait()
        return await lately(workspace)

    monkeypatch.setattr(fleet.directory, "lately", lately_or_never)
    running = asyncio.create_task(feeds.run())
    try:
        feeds.mark("b", [number(1)])
        await waits.wait()
        fleet.rename(number(1), "renamed")
        feeds.mark(ACME, [number(1)])
        for _ in range(50):  # turns of the loop: time stands still here
            await asyncio.sleep(0)
        assert page.names("machine") == ["renamed"]
    finally:
        running.cancel()
        await asyncio.wait([running])


def states(page: Page) -> dict[str, str]:
    """The band of each machine as the page was told it last, by name."""
    found: dict[str, str] = {}
    for told in page.told:
        for machine in [*told.get("machines", []), *([told["machine"]] if "machine" in told else [])]:
            found[machine["name"]] = machine["state"]
    return found
