"""Tests when this machine registers, with what words, and what is kept of the answer."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest

from relay.agent.link import Surroundings
from relay.agent.registration import Registration, Wish, describe, must_register
from relay.client.api import api
from relay.client.profile import Enrolment, Profile
from relay.errors import BadToken, MachineRevoked, NameTaken
from tests.agent.office import MACHINE, Office, office
from tests.agent.scene import Impatient

URL = "https://relay.example.com"
INSTANCE = "5a0e2f60-7a53-4f0e-8f49-6c2f3a1d9b10"
REGISTERED = Enrolment(URL, INSTANCE, "x", "rly_mach_x")
REVOKED = Enrolment(URL, INSTANCE, "x", None, revoked=True)


@pytest.mark.parametrize(
    ("entry", "wish", "expected"),
    [
        (None, Wish(), True),
        (Enrolment(URL, INSTANCE), Wish(), True),
        (REGISTERED, Wish(), False),
        (REGISTERED, Wish(ephemeral=True), False),
        (REGISTERED, Wish(name="mac"), True),
        (REGISTERED._replace(asked="name=mac"), Wish(name="mac"), False),
        (REGISTERED._replace(asked="name=mac"), Wish(name="studio"), True),
        (REGISTERED._replace(asked="name=mac"), Wish(), False),
        (REGISTERED, Wish(again=True), True),
        (REVOKED, Wish(again=True), True),
    ],
)
def test_a_machine_registers_once_or_when_something_new_is_asked_for(
    entry: Enrolment | None, wish: Wish, expected: bool
) -> None:
    assert must_register(entry, wish, credential=True) is expected


def test_a_revoked_machine_registers_only_on_a_persons_word() -> None:
    with pytest.raises(MachineRevoked, match="--register-again"):
        must_register(REVOKED, Wish(name="mac"), credential=True)


def test_without_a_credential_only_a_registered_machine_can_serve() -> None:
    assert not must_register(REGISTERED, Wish(), credential=False)
    with pytest.raises(BadToken, match="relay login"):
        must_register(None, Wish(), credential=False)


def test_the_same_wish_reads_the_same_in_any_order() -> None:
    one = Wish("mac", True, (("b", "2"), ("a", "1")))
    assert describe(one) == describe(one._replace(labels=(("a", "1"), ("b", "2")), again=True))
    assert describe(one) == "name=mac private a=1 b=2"


class Desk:
    """A machine that registers at an office."""

    def __init__(self, folder: Path, place: Office) -> None:
        self.profile = Profile(folder)
        self.office = place
        self.clock = Impatient()

    async def register(self, wish: Wish = Wish(), workspace: str | None = None) -> Enrolment:  # noqa: B008
        surroundings = Surroundings(self.clock, Random(1), lambda: "mac.local")
        async with api([self.office.url], "rly_pat_x") as caller:
            return await Registration(self.profile, URL, caller, surroundings).register(wish, workspace)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with office() as place:
        yield Desk(tmp_path, place)


async def test_what_is_asked_for_is_sent_and_what_is_given_is_kept(desk: Desk) -> None:
    wish = Wish("mac", True, (("os", "linux"),), ephemeral=True)
    entry = await desk.register(wish, "team")
    assert desk.office.paths == ["POST /api/machines?workspace=team HTTP/1.1"]
    assert desk.office.tokens == ["Bearer rly_pat_x"]
    (body,) = desk.office.bodies
    assert body.pop("version")
    assert body == {
        "hostname": "mac.local",
        "instanceId": entry.instance_id,
        "name": "mac",
        "visibility": "PRIVATE",
        "labels": {"os": "linux"},
        "ephemeral": True,
    }
    assert desk.profile.enrolment(URL) == entry
    assert (entry.machine_id, entry.machine_token) == (MACHINE["machine"]["id"], "rly_mach_x")  # type: ignore[index]
    assert stat.S_IMODE((desk.profile.folder / "machine.json").stat().st_mode) == 0o600


async def test_a_plain_wish_sends_only_what_must_be_said(desk: Desk) -> None:
    await desk.register()
    assert set(desk.office.bodies[0]) == {"hostname", "version", "instanceId"}


async def test_every_attempt_is_the_same_installation(desk: Desk) -> None:
    desk.office.answers = [(503, {"code": "unavailable", "detail": "no"}), (200, MACHINE)]
    await desk.register()
    await desk.register(Wish(again=True))
    assert len({body["instanceId"] for body in desk.office.bodies}) == 1
    assert "again" not in desk.office.bodies[1]
    assert desk.office.bodies[2]["again"] is True


async def test_an_attempt_that_was_cut_short_is_the_same_installation_as_the_next(desk: Desk) -> None:
    desk.office.answers = [(503, {"code": "unavailable", "detail": "no"})]
    first = asyncio.create_task(desk.register())
    await desk.clock.until(lambda: len(desk.clock.slept) > 0)
    first.cancel()
    desk.office.answers = [(201, MACHINE)]
    await desk.register()
    assert len({body["instanceId"] for body in desk.office.bodies}) == 1


async def test_a_relay_in_trouble_is_waited_for(desk: Desk) -> None:
    trouble = (503, {"code": "unavailable", "detail": "no"})
    busy = (429, {"code": "limit-reached", "detail": "later"})
    desk.office.answers = [trouble, busy, trouble, (201, MACHINE)]
    assert (await desk.register()).machine_token == "rly_mach_x"
    assert len(desk.clock.slept) == 3


async def test_a_proxy_that_refuses_is_waited_for_and_not_taken_for_the_relay(desk: Desk) -> None:
    """A machine must not give up for good because somebody's firewall asks for a sign-in this afternoon."""
    desk.office.proxied = True
    desk.office.answers = [(401, {"code": "bad-token"}), (403, {}), (201, MACHINE)]
    assert (await desk.register()).machine_token == "rly_mach_x"


async def test_a_revoked_installation_is_remembered_as_one(desk: Desk) -> None:
    desk.office.answers = [(410, {"code": "machine-revoked", "detail": "revoked"})]
    with pytest.raises(MachineRevoked, match="--register-again"):
        await desk.register()
    entry = desk.profile.enrolment(URL)
    assert entry is not None
    assert (entry.revoked, entry.machine_token) == (True, None)


async def test_after_a_revocation_a_new_registration_makes_it_whole_again(desk: Desk) -> None:
    desk.profile.save_enrolment(REVOKED)
    entry = await desk.register(Wish(again=True))
    assert (entry.revoked, entry.machine_token, entry.instance_id) == (False, "rly_mach_x", INSTANCE)


async def test_what_a_person_has_to_put_right_is_raised(desk: Desk) -> None:
    desk.office.answers = [(409, {"code": "name-taken", "detail": "taken"})]
    with pytest.raises(NameTaken):
        await desk.register(Wish(name="mac"))
