"""Registers this machine with its cluster, once, and keeps what it is given in `machine.json`."""

from __future__ import annotations

import asyncio
import os
from typing import Any, NamedTuple

import structlog

from relay import VERSION
from relay.agent.link import Surroundings
from relay.client.api import Api
from relay.client.back_off import BackOff
from relay.client.profile import Enrolment, Profile
from relay.errors import BadToken, LimitReached, MachineRevoked, Unavailable
from relay.rules import ids

ASK_AGAIN = "this machine was revoked: run `relay serve --register-again` to register it as a new one"


class Wish(NamedTuple):
    """How a person wants this machine to be registered."""

    name: str | None = None
    private: bool = False
    labels: tuple[tuple[str, str], ...] = ()
    ephemeral: bool = False
    again: bool = False  # come back after a revocation, or register anew whatever is kept


def must_register(entry: Enrolment | None, wish: Wish, *, credential: bool) -> bool:
    """Whether the machine has to register before it can connect; raises `MachineRevoked` when a person has to ask for
    it, and `BadToken` when there is nothing to register with."""
    if entry is not None and entry.revoked and not wish.again:
        raise MachineRevoked(ASK_AGAIN)
    if entry is not None and entry.machine_token and not wish.again and describe(wish) in ("", entry.asked):
        return False
    if not credential:
        raise BadToken("this machine is not registered: run `relay login` first, or set RELAY_TOKEN to a workspace key")
    return True


def describe(wish: Wish) -> str:
    """What was asked for, as text that shows on the next start whether it is the same."""
    words = [f"name={wish.name}"] if wish.name else []
    words += ["private"] if wish.private else []
    words += [f"{key}={value}" for key, value in sorted(wish.labels)]
    return " ".join(words)


class Registration:
    """Asks the relay for a machine token."""

    def __init__(self, profile: Profile, url: str, api: Api, surroundings: Surroundings) -> None:
        self._profile = profile
        self._url = url
        self._api = api
        self._surroundings = surroundings

    async def register(self, wish: Wish, workspace: str | None) -> Enrolment:
        """The entry that is now in machine.json. Waits for a relay that cannot be reached; raises what it refuses."""
        entry = await asyncio.to_thread(self._profile.enrolment, self._url)
        if entry is None or not entry.instance_id:
            # Kept before it is sent: if the answer is lost, the next attempt is the same installation.
            entry = Enrolment(self._url, ids.make(os.urandom(ids.RAW_BYTES)))
            await asyncio.to_thread(self._profile.save_enrolment, entry)
        try:
            answer = await self._ask(entry, wish, workspace)
        except MachineRevoked:
            gone = entry._replace(machine_token=None, revoked=True)
            await asyncio.to_thread(self._profile.save_enrolment, gone)
            raise MachineRevoked(ASK_AGAIN) from None
        machine = answer["machine"]
        entry = entry._replace(
            machine_id=machine["id"], machine_token=answer["machineToken"], revoked=False, asked=describe(wish)
        )
        await asyncio.to_thread(self._profile.save_enrolment, entry)
        structlog.get_logger().info("registered", name=machine["name"], machine=machine["id"], url=self._url)
        return entry

    async def _ask(self, entry: Enrolment, wish: Wish, workspace: str | None) -> dict[str, Any]:
        asked = {
            "name": wish.name,
            "visibility": "PRIVATE" if wish.private else None,
            "labels": dict(wish.labels) or None,
            "ephemeral": wish.ephemeral or None,
            "again": wish.again or None,
        }
        body = {
            "hostname": self._surroundings.hostname(),
            "version": VERSION,
            "instanceId": entry.instance_id,
            **{name: value for name, value in asked.items() if value is not None},
        }
        back_off = BackOff(random=self._surroundings.random)
        while True:
            try:
                answer = await self._api.request("POST", "/api/machines", {"workspace": workspace}, body)
            except (Unavailable, LimitReached) as error:
                wait = back_off.next()
                structlog.get_logger().warning("not registered yet", why=error.message, again_in=f"{wait:.1f} s")
                await self._surroundings.clock.sleep(wait)
            else:
                assert isinstance(answer, dict)
                return answer
