"""Wires a node: builds its objects, hands them to whoever needs them, and runs them."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol
from uuid import uuid4

import msgspec
import structlog
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette

from relay.errors import RelayError
from relay.node import scout
from relay.node.beats import Beats
from relay.node.changes import Tail
from relay.node.direct import Carriage
from relay.node.directory import Directory
from relay.node.errands import Errands
from relay.node.excuses import Excuses
from relay.node.expiries import Expiries
from relay.node.feeds import Feeds
from relay.node.hub import Hub
from relay.node.infos import Infos, info_of
from relay.node.keepalive import Keepalive
from relay.node.lanes import Lanes
from relay.node.membership import Membership
from relay.node.meters import Meters
from relay.node.mirror import Mirror
from relay.node.moves import Moves
from relay.node.offers import Offers
from relay.node.orders import Orderly
from relay.node.outage import Outage
from relay.node.pauses import Pauses
from relay.node.pulse import Pulse
from relay.node.reactions import Reactions
from relay.node.readiness import Readiness
from relay.node.router import Router
from relay.node.sessions import Shown
from relay.node.socket import FAREWELL_SECONDS
from relay.node.trust import Trust
from relay.registry import Change, Registry
from relay.rules.presence import Record
from relay.rules.rhythm import Chosen
from relay.rules.tokens import Secrets
from relay.settings import Settings
from relay.store import (
    Bus,
    DeviceCodes,
    Keys,
    Leases,
    Marks,
    Memory,
    Orders,
    Pipeline,
    Presence,
    Rates,
    Revocations,
    Tickets,
)
from relay.store.rhythm import Follower
from relay.web.agent_socket import agent_conversation
from relay.web.auth import Authenticator
from relay.web.browser_socket import browser_conversation
from relay.web.page import Page
from relay.web.parts import Parts
from relay.web.site import create_web
from relay.web.sockets import Bucket, Doors, routes

NOTHING_CHOSEN = Chosen()
AGAIN_SECONDS = 1.0  # before a part that failed begins again, so that a lasting mistake does not fill the log
# For what connections left to be done when the process ends. A peer that never answers is cut after `FAREWELL_SECONDS`,
# and only then is its goodbye told to Redis: that must not race with the end of this wait.
PARTING_SECONDS = FAREWELL_SECONDS + 3.0


def unix_ms() -> int:
    """The wall clock, for what people read and what SQL keeps; presence never uses it."""
    return time.time_ns() // 1_000_000


class Part(Protocol):
    """A part of a node that does something which nobody asks for."""

    async def run(self) -> None:
        """Do it until cancelled."""


class Node:
    """One node's objects over an open registry and Redis. Nothing happens before `run`."""

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        redis: Memory,
        pipeline: Pipeline,
        registry_id: str = "",
        chosen: Chosen = NOTHING_CHOSEN,
    ) -> None:
        self.settings = settings
        self.boot = str(uuid4())
        self.keys = Keys(settings.redis_prefix)
        self.metrics = CollectorRegistry()
        self.meters = Meters(self.metrics)
        self.bus = Bus(settings.redis_url, self.keys, on_restored=self._restored)
        self.hub = Hub()
        self.errands = Errands()
        self.keepalive = Keepalive()
        self.pauses = Pauses(lambda: len(self.hub.agents) + len(self.hub.browsers))
        pipeline.limited = self.meters.limited
        self.presence = Presence(redis, self.keys, pipeline)
        self.excuses = Excuses(self.presence)
        self.tail = Tail(registry)
        self.mirror = Mirror(registry, Revocations(redis, self.keys), self.keys)
        self.directory = Directory(registry, self.presence, self.tail, unix_ms)
        self.feeds = Feeds(self.directory, self._listen, self.keys.shard)
        self.infos = Infos(self.presence)
        self.beats = Beats(self.boot, self.hub, self.presence, info_of, self._load_mirror, self.meters)
        self.lanes = Lanes(self.boot, self._publish, asyncio.get_running_loop(), self.meters)
        shown = Shown(unix_ms, self.infos.changed)
        self.router = Router(self.boot, self.hub, self.lanes, self._locate, shown, self.meters)
        self.moves = Moves(self.hub, self.router.attachments, self.presence.locate, self.keys.shard)
        marks = Marks(registry_id, Secrets.parse(settings.secret).ids)
        leases = Leases(redis, self.keys)
        self.membership = Membership(self.boot, settings.advertise_url, unix_ms(), leases, self.hub, marks)
        self.membership.trust = Trust(self.tail.away, settings.revocation_trust_seconds)
        self.offers = Offers(self.hub)
        self.outage = Outage(self._answered_at, self.membership.others, scout.ready, self.offers)
        self.orderly = Orderly(self.boot, Orders(redis, self.keys), self.offers)
        inbox = self.keys.inbox(self.boot)
        self.readiness = Readiness(inbox, self.bus, self.membership, self.outage, self.beats, self.tail)
        self.expiries = Expiries(self.hub, unix_ms)
        self.pulse = Pulse(self.router, self.outage, self.beats.standstill)
        self.authenticator = Authenticator(
            registry.credentials, Secrets.parse(settings.secret), unix_ms, self.tail, self.meters.limited
        )
        self.reactions = Reactions(self.router, self.directory, self.feeds, self.authenticator.by_claim)
        self.tail.listen(self._changes, self._fresh_start)
        self.rhythm = chosen.rhythm
        self.follower = Follower(redis, self.keys, registry.rhythms.latest, self._keep_time, chosen)
        self.parts = self._parts(registry, redis)
        self.observers: tuple[Part, ...] = ()  # what runs beside it and changes nothing; whoever opens it adds them

    def _parts(self, registry: Registry, redis: Memory) -> Parts:
        return Parts(
            settings=self.settings,
            registry=registry,
            presence=self.presence,
            revocations=Revocations(redis, self.keys),
            tickets=Tickets(redis, self.keys),
            devices=DeviceCodes(redis, self.keys),
            rates=Rates(redis, self.keys),
            directory=self.directory,
            router=self.router,
            leases=Leases(redis, self.keys),
            secrets=Secrets.parse(self.settings.secret),
            authenticator=self.authenticator,
            metrics=self.metrics,
            clock=unix_ms,
            randomness=secrets.token_bytes,
            changed=self._changed,
            readiness=self.readiness.reasons,
            impaired=self.readiness.impaired,
            alive=self.membership.alive,
            rhythm=lambda: self.rhythm,
            nodes=self.membership.urls,
        )

    def doors(self) -> Doors:
        """What sockets of this node need."""
        return Doors(
            boot=self.boot,
            parts=self.parts,
            hub=self.hub,
            router=self.router,
            feeds=self.feeds,
            infos=self.infos,
            tail=self.tail,
            mirror=self.mirror,
            membership=self.membership,
            meters=self.meters,
            bucket=Bucket(self.settings.handshakes, self.settings.sockets),
            carriage=Carriage(self.errands, self.keepalive),
        )

    def web(self) -> Starlette:
        """The application that this node serves."""
        sockets = routes(self.doors(), agent_conversation, browser_conversation)
        return create_web(self.parts, sockets=sockets, page=Page(self.membership.urls).routes())

    # --- what parts tell each other ----------------------------------------------------------------------------

    def _publish(self, other: str, data: bytes, *, control: bool) -> None:
        self.router.fanout.traffic.node_out_bytes += len(data)
        self.bus.publish(self.keys.inbox(other), data, control=control, at_once=True)  # lanes join a tick's frames

    def _received(self, data: bytes) -> None:
        self.router.fanout.traffic.node_in_bytes += len(data)
        self.lanes.received(data)

    def _listen(self, workspace: str) -> None:
        self.bus.subscribe(self.keys.events(self.keys.shard(workspace)), self._bell_rang)

    def _bell_rang(self, message: bytes) -> None:
        bell = msgspec.json.decode(message)
        self.feeds.mark(bell["workspace"], bell["machines"])
        self.moves.rung(bell["workspace"], bell["machines"])

    async def _locate(self, workspace: str, machine: str) -> Record | None:
        self._listen(workspace)  # whoever asks where a machine is wants to know when it moves
        return await self.presence.locate(workspace, machine)

    def _keep_time(self, chosen: Chosen) -> None:
        """Do everything as often as an operator chose from now on, and have it done."""
        before, self.rhythm = self.rhythm, chosen.rhythm
        rhythm = self.rhythm
        if rhythm.beat_seconds != before.beat_seconds:
            self.errands.start(self.membership.say_pace(rhythm.beat_seconds))
        self.membership.rhythm = chosen.revision
        self.beats.flush_seconds = rhythm.flush_seconds
        self.tail.look_seconds = rhythm.changes_seconds
        self.feeds.batch_seconds = rhythm.last_seen_batch_seconds

    async def _load_mirror(self, workspace: str) -> int:
        upto = self.tail.number
        await self.mirror.load(self.keys.shard(workspace), upto)
        return upto

    async def _changed(self) -> None:
        try:
            await self.tail.look()
        except RelayError as error:  # the change is stored all the same, and the next look finds it
            structlog.get_logger().warning("a change is not read yet", why=error.message)
        try:
            self.bus.publish(self.keys.changes_bell, self.tail.bell(), control=True)
        except RelayError as error:
            structlog.get_logger().info("the bell for changes did not ring", why=error.message)

    def _changes(self, changes: Sequence[Change]) -> None:
        self.authenticator.changed(changes)
        self.mirror.changed(changes)
        self.feeds.changed(changes)
        self.reactions.changed(changes)

    def _fresh_start(self) -> None:
        self.authenticator.clear()
        self.mirror.missed()
        self.feeds.again()
        self.reactions.missed()

    def _restored(self) -> None:
        """The bus was away and is back: read every letter whose bell may have been missed."""
        self.router.bus_restored()
        self.tail.ring()
        self.mirror.doubt()
        self.feeds.again()

    def _answered_at(self) -> object:
        return self.beats.flushed_at, self.membership.renewed_at

    # --- running -----------------------------------------------------------------------------------------------

    async def part(self, seconds: float = PARTING_SECONDS) -> None:
        """Tell whoever is still connected that the process ends, let what they leave to be done be done, and go."""
        for socket in list(self.keepalive):
            socket.leave()
        try:
            async with asyncio.timeout(seconds):
                await self.keepalive.empty()
                await self.errands.finished()
        except TimeoutError:
            structlog.get_logger().warning("the process ends before its connections did")
        await self.membership.leave()

    async def run(self) -> None:
        """Do everything that nobody asks for, until cancelled: beats, lease, tail, feeds, lanes."""
        self.bus.subscribe(self.keys.inbox(self.boot), self._received)
        self.bus.subscribe(self.keys.changes_bell, self.tail.ring)
        self.bus.subscribe(self.keys.orders_bell(self.boot), self.orderly.rung)
        parts: tuple[Part, ...] = (
            self.errands, self.keepalive, self.beats, self.membership, self.tail, self.mirror, self.feeds, self.infos,
            self.reactions, self.moves, self.offers, self.orderly, self.expiries,
            self.follower, self.pulse, self.outage, self.excuses, *self.observers,
        )  # fmt: skip
        async with asyncio.TaskGroup() as group:
            for work in (self.bus.run, *(part.run for part in parts)):
                group.create_task(_kept_up(work))


async def _kept_up(work: Callable[[], Awaitable[None]]) -> None:
    """Do what ends only by being cancelled, and begin it again if we made a mistake: what one peer can say must not
    take the node from all others."""
    while True:
        try:
            await work()
        except Exception:
            structlog.get_logger().exception("a part of the node failed and begins again")
            await asyncio.sleep(AGAIN_SECONDS)
