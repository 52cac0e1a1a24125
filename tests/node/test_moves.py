"""Shows that attachments through a machine's old connection end as soon as the machine is known to be elsewhere."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import msgspec

from relay.errors import Unavailable
from relay.node.browser import Attachment, Browser
from relay.node.hub import Hub
from relay.node.moves import GATHER_SECONDS, Moves
from relay.rules import ids
from relay.rules.browser_messages import Attach, Detached, to_browser
from relay.rules.messages import Message
from relay.rules.presence import Fence, Record
from tests.rules.samples import ACME, number, record

HERE, THERE, ELSEWHERE = "here", "there", "elsewhere"
SESSION = number(99)


class Stage:
    """A node whose browsers are attached to machines of other nodes, and what Redis says of these."""

    def __init__(self) -> None:
        self.hub = Hub()
        self.records: dict[str, Record] = {}
        self.asked: list[str] = []
        self.answers = True
        self.awaited: set[str] = set()  # machines for which somebody waits for an answer of their node
        self.followed: list[tuple[str, str]] = []
        self.moves = Moves(self.hub, self, self._locate, lambda workspace: 0 if workspace == ACME else 1)
        self.told: list[Message] = []

    def send_text(self, message: bytes) -> None:
        """As the socket of every browser: note what is said."""
        self.told.append(to_browser(message.decode()))

    async def _locate(self, workspace: str, machine: str) -> Record | None:
        assert workspace == ACME
        self.asked.append(machine)
        if not self.answers:
            raise Unavailable("Redis is away")
        return self.records.get(machine)

    def awaits(self, machine: str) -> bool:
        """As those who wait: for some."""
        return machine in self.awaited

    def moved(self, machine: str, node: str) -> None:
        """Note what they are told."""
        self.followed.append((machine, node))

    def attach(self, machine: str, generation: int) -> None:
        """A browser here is attached to a session, through this connection of the machine on that node."""
        browser = Browser(cast(Any, self), cast(Any, None), "")
        attachment = Attachment(browser, ACME, Attach(ref=1, machine=machine, session=SESSION))
        attachment.number, attachment.answered = 5, True
        browser.attachments[attachment.key] = attachment
        away = self.hub.away_of(ids.raw(machine), attachment.session, THERE, generation)
        assert away is not None
        away.audience.group[5] = attachment

    def speaks(self, machine: str, node: str, generation: int) -> None:
        """Redis has this connection of the machine now."""
        fence = Fence(1, generation, "c")
        self.records[machine] = msgspec.structs.replace(record(0, machine=machine), node=node, fence=fence)

    async def rings(self, *machines: str) -> None:
        """The bell rings for these, and whatever follows from that happens."""
        running = asyncio.create_task(self.moves.run())
        self.moves.rung(ACME, machines)
        await asyncio.sleep(2 * GATHER_SECONDS)
        running.cancel()
        await asyncio.wait([running])


async def test_who_is_attached_through_a_dead_node_is_let_go_when_the_machine_is_back_elsewhere() -> None:
    stage = Stage()
    stage.attach(number(1), generation=7)
    stage.speaks(number(1), ELSEWHERE, 8)
    await stage.rings(number(1))
    assert stage.told == [Detached(session=SESSION, attachment=5, reason="machine-gone")]
    assert stage.hub.away == {}


async def test_who_still_waits_for_a_dead_node_is_told_where_the_machine_is() -> None:
    """Also where nobody is attached to anything of another node."""
    stage = Stage()
    stage.awaited = {number(1)}
    stage.speaks(number(1), ELSEWHERE, 8)
    await stage.rings(number(1), number(2))
    assert (stage.asked, stage.followed) == ([number(1)], [(number(1), ELSEWHERE)])


async def test_who_is_attached_through_the_newest_connection_stays() -> None:
    """Whether the record is as old as the attachment, or older, as after a failover of Redis."""
    stage = Stage()
    stage.attach(number(1), generation=7)
    stage.speaks(number(1), THERE, 7)
    await stage.rings(number(1))
    stage.speaks(number(1), ELSEWHERE, 6)
    await stage.rings(number(1))
    del stage.records[number(1)]
    await stage.rings(number(1))
    assert stage.told == []
    assert len(stage.asked) == 3


async def test_a_machine_that_comes_back_to_the_same_node_is_left_to_that_node() -> None:
    """It lives and says so itself, in order behind the last frames."""
    stage = Stage()
    stage.attach(number(1), generation=7)
    stage.speaks(number(1), THERE, 9)
    await stage.rings(number(1))
    assert stage.told == []


async def test_nobody_asks_for_machines_that_nobody_here_is_attached_to() -> None:
    stage = Stage()
    await stage.rings(number(2))
    stage.attach(number(1), generation=7)
    await stage.rings(number(2), number(3))
    assert stage.asked == []


async def test_a_bell_costs_no_look_at_what_else_is_attached_to() -> None:
    """In a storm they ring by the hundred, on a node with twenty thousand attachments to machines of others."""

    class Heavy(dict[Any, Any]):
        def __iter__(self) -> Any:
            raise AssertionError("somebody walks all of them")

        items = keys = values = __iter__

    stage = Stage()
    stage.hub.away = Heavy()
    for n in range(1, 10):
        stage.attach(number(n), generation=7)
    stage.speaks(number(1), ELSEWHERE, 8)
    await stage.rings(number(1), number(11))
    assert len(stage.told) == 1
    assert len(stage.hub.away) == 8


async def test_a_redis_that_does_not_answer_ends_nothing_and_the_next_bell_is_heard() -> None:
    stage = Stage()
    stage.attach(number(1), generation=7)
    stage.speaks(number(1), ELSEWHERE, 8)
    stage.answers = False
    await stage.rings(number(1))
    assert stage.told == []
    stage.answers = True
    await stage.rings(number(1))
    assert len(stage.told) == 1
