from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.errors import Conflict, Invalid
from relay.rules import names
from relay.rules.machine import Registered
from relay.rules.names import (
    Facts,
    NameRefused,
    NewMachine,
    SameMachine,
    StillRevoked,
    Successor,
    Wanted,
    decide_registration,
    decide_wanted,
    fold,
)
from tests.rules.samples import ACME, BOB, JANE, number, registered

quick = settings(derandomize=True, deadline=None, max_examples=30)
ODD = st.sampled_from("aZ0-. :/\n\x1b\u202e\u200béßİ\u0345\u1e9e\ud800機'\"\\")

HOLDER = registered(id=number(2), instance=number(0x222), owner=BOB)
SELF = registered()


# --- what may be a name -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "prod-api-1", "Jane's MacBook", "Büro", "機器", "x" * 63, "prod.local", "8f23"])
def test_what_people_call_their_machines_is_a_name(name: str) -> None:
    assert names.clean_name(f"  {name}\n") == name


def test_a_name_is_kept_composed() -> None:
    assert names.clean_name("Bu\u0308ro") == "Büro"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "not empty"),
        (" \t ", "not empty"),
        ("x" * 64, "at most 63 characters, this one has 64"),
        ("a\nb", r'printable characters only: "a\\nb"'),
        ("a\u202eb", "printable"),
        ("a\u00a0b", "printable"),
        ("a:b", "does not begin"),
        ("acme/a", "does not begin"),
        ("-a", "does not begin"),
        ("8F23C1D2-1a2b-4c3d-8e4f-001122334455", "look like an id"),
    ],
)
def test_what_could_not_be_typed_shown_or_found_is_no_name(name: str, why: str) -> None:
    with pytest.raises(Invalid, match=why):
        names.clean_name(name)


def test_a_hostname_is_trimmed_and_otherwise_kept_as_reported() -> None:
    assert names.clean_hostname(" Mac-Studio.local.\n") == "Mac-Studio.local."
    assert len(names.clean_hostname("x" * 253)) == 253


@pytest.mark.parametrize("hostname", ["", " ", "x" * 254, "a\x00b", "a\x1b[2Jb"])
def test_a_hostname_that_is_empty_long_or_unprintable_is_refused(hostname: str) -> None:
    with pytest.raises(Invalid, match="a hostname has"):
        names.clean_hostname(hostname)


@pytest.mark.parametrize(
    ("hostname", "bare"),
    [
        ("mac", "mac"),
        ("mac.", "mac"),
        ("mac.local", "mac"),
        ("MAC.LOCAL.", "MAC"),
        ("mac.local.local", "mac.local"),
        ("mac..", "mac."),
        ("local", "local"),
        (".local", ".local"),
        (".", "."),
    ],
)
def test_a_trailing_dot_and_one_local_are_not_part_of_the_bare_hostname(hostname: str, bare: str) -> None:
    assert names.bare_hostname(hostname) == bare


@pytest.mark.parametrize(
    ("hostname", "name"),
    [
        ("mac-studio.local", "mac-studio"),
        ("web1.eu.example.com", "web1.eu.example.com"),
        ("h" * 100, "h" * 63),
        ("-:/", "machine"),
        ("- -x", "x"),
        ("8f23c1d2-1a2b-4c3d-8e4f-001122334455", "machine-8f23c1d2-1a2b-4c3d-8e4f-001122334455"),
    ],
)
def test_a_machine_that_nobody_named_is_called_after_its_host(hostname: str, name: str) -> None:
    assert names.default_name(hostname) == name


@quick
@given(hostname=st.text(ODD, max_size=80))
def test_every_hostname_gives_a_name(hostname: str) -> None:
    name = names.default_name(hostname)
    assert names.clean_name(name) == name


@quick
@given(text=st.text(ODD, max_size=12))
def test_folding_twice_changes_nothing_and_case_does_not_matter(text: str) -> None:
    assert fold(fold(text)) == fold(text)
    assert fold(text.swapcase()) == fold(text) or not text.isascii()


def test_names_are_the_same_in_any_case_and_composition() -> None:
    assert fold("BÜRO") == fold("bu\u0308ro")
    assert fold("STRASSE") == fold("straße")
    assert fold("prod-1") != fold("prod-2")


# --- what a registration asks for ---------------------------------------------------------------------------------


def test_names_are_unique_among_shared_machines_and_per_owner_among_private_ones() -> None:
    assert names.name_scope("SHARED", JANE.id) == names.name_scope("SHARED", None) == names.SHARED_SCOPE
    assert names.name_scope("PRIVATE", JANE.id) == JANE.id
    assert names.name_scope("PRIVATE", BOB.id) != names.name_scope("PRIVATE", JANE.id)


def test_a_machine_of_a_workspace_key_cannot_be_private() -> None:
    with pytest.raises(Conflict, match="cannot be PRIVATE"):
        decide_wanted(None, "runner-1", "PRIVATE", None, None)
    with pytest.raises(Conflict, match="cannot be PRIVATE"):
        decide_wanted(None, "runner-1", "PRIVATE", JANE.id, registered(owner=None))


def test_a_key_registers_shared_and_a_person_private_unless_told_otherwise() -> None:
    by_key = decide_wanted(None, "runner-1.local", None, None, None)
    by_jane = decide_wanted(None, "runner-1.local", None, JANE.id, None)
    assert by_key == Wanted(name="runner-1", chosen=False, visibility="SHARED", scope=names.SHARED_SCOPE)
    assert by_jane == Wanted(name="runner-1", chosen=False, visibility="PRIVATE", scope=JANE.id)
    assert decide_wanted(None, "runner-1", "SHARED", JANE.id, None).visibility == "SHARED"


def test_an_asked_name_is_a_chosen_one() -> None:
    assert decide_wanted(" box ", "runner-1", None, None, None).name == "box"
    assert decide_wanted("box", "runner-1", None, None, None).chosen
    with pytest.raises(Invalid):
        decide_wanted("a/b", "runner-1", None, None, None)


def test_a_known_machine_keeps_its_visibility_its_owner_and_a_name_that_somebody_set() -> None:
    known = registered(name="box", name_chosen=True, visibility="PRIVATE", owner=BOB)
    wanted = decide_wanted(None, "new-host", None, JANE.id, known)
    assert wanted == Wanted(name="box", chosen=True, visibility="PRIVATE", scope=BOB.id)
    assert decide_wanted("other", "new-host", "SHARED", JANE.id, known).name == "other"


def test_the_name_follows_the_hostname_only_if_nobody_ever_set_one() -> None:
    assert decide_wanted(None, "new-host.local", None, JANE.id, registered(name_chosen=False)).name == "new-host"


# --- who holds a name after a registration ------------------------------------------------------------------------


def facts(**changes: Any) -> Facts:
    """Somebody unknown wants the free name `mac-studio`."""
    free = Facts(
        wanted=Wanted(name="mac-studio", chosen=True, visibility="SHARED", scope=names.SHARED_SCOPE),
        known=None,
        revoked=False,
        again=False,
        holder=None,
        holder_online=False,
        may_take=True,
        policy="newest",
    )
    return msgspec.structs.replace(free, **changes)


def test_a_free_name_makes_a_new_machine() -> None:
    assert decide_registration(facts()) == NewMachine()


@pytest.mark.parametrize("online", [True, False])
@pytest.mark.parametrize("policy", ["newest", "refuse-online"])
def test_the_same_installation_is_the_same_machine(online: bool, policy: str) -> None:
    again = facts(known=SELF, holder=SELF, holder_online=online, policy=policy, may_take=False)
    assert decide_registration(again) == SameMachine(SELF)


def test_the_same_installation_under_a_free_name_is_renamed() -> None:
    assert decide_registration(facts(known=registered(name="old"))) == SameMachine(registered(name="old"))


def test_a_newcomer_is_the_offline_holder_of_the_name() -> None:
    assert decide_registration(facts(holder=HOLDER)) == Successor(HOLDER)
    assert decide_registration(facts(holder=HOLDER, policy="refuse-online")) == Successor(HOLDER)


def test_a_newcomer_takes_the_name_from_a_holder_that_is_online_elsewhere() -> None:
    assert decide_registration(facts(holder=HOLDER, holder_online=True)) == NewMachine(takes=HOLDER)


def test_a_workspace_may_refuse_to_take_names_from_machines_that_are_online() -> None:
    strict = facts(holder=HOLDER, holder_online=True, policy="refuse-online")
    assert decide_registration(strict) == NameRefused(HOLDER)


@pytest.mark.parametrize("online", [True, False])
def test_nobody_takes_a_name_that_their_credential_may_not_manage(online: bool) -> None:
    assert decide_registration(facts(holder=HOLDER, holder_online=online, may_take=False)) == NameRefused(HOLDER)


@pytest.mark.parametrize("online", [True, False])
def test_a_known_machine_keeps_its_id_when_it_takes_a_name(online: bool) -> None:
    renamed = registered(name="old")
    taking = facts(known=renamed, holder=HOLDER, holder_online=online)
    assert decide_registration(taking) == SameMachine(renamed, takes=HOLDER)
    assert decide_registration(msgspec.structs.replace(taking, may_take=False)) == NameRefused(HOLDER)


def test_a_shadowed_machine_that_registers_again_takes_its_name_back_or_runs_on_without_it() -> None:
    shadowed = registered(name="Mac-Studio", name_held=False, shadowed_by=HOLDER.id)
    back = facts(known=shadowed, holder=HOLDER, holder_online=True)
    assert decide_registration(back) == SameMachine(shadowed, takes=HOLDER)
    assert decide_registration(msgspec.structs.replace(back, policy="refuse-online")) == SameMachine(shadowed)
    assert decide_registration(msgspec.structs.replace(back, may_take=False)) == SameMachine(shadowed)


@pytest.mark.parametrize("holder", [None, HOLDER])
def test_a_revoked_installation_stays_revoked_until_somebody_asks(holder: Registered | None) -> None:
    assert decide_registration(facts(revoked=True, holder=holder)) == StillRevoked()
    assert decide_registration(facts(revoked=True, holder=holder, again=True)) != StillRevoked()


def test_a_registration_keeps_to_its_workspace() -> None:
    assert HOLDER.workspace == SELF.workspace == ACME
