from typing import get_args

import pytest

from relay.errors import NotFound, WorkspaceRequired
from relay.rules import access
from relay.rules.access import Action, Identity, Role, capabilities, choose_workspace, may, may_appoint
from tests.rules.samples import ACME, BOB, JANE, OTHER, key, number, person, registered

ACTIONS: tuple[Action, ...] = get_args(Action)
ROLES: tuple[Role, ...] = get_args(Role)

SHARED_BY_BOB = registered(owner=BOB)
SHARED_BY_JANE = registered(owner=JANE)
PRIVATE_TO_BOB = registered(owner=BOB, visibility="PRIVATE")
PRIVATE_TO_JANE = registered(owner=JANE, visibility="PRIVATE")
OF_A_KEY = registered(owner=None, key=number(0xC))


def allowed(identity: Identity, **about: object) -> set[str]:
    return {action for action in ACTIONS if may(identity, action, ACME, **about)}  # type: ignore[arg-type]


def test_the_table_has_a_row_for_every_action_and_a_column_for_every_role() -> None:
    assert set(access.TABLE) == set(ACTIONS)
    assert set(access.COLUMNS) == set(ROLES)


@pytest.mark.parametrize("action", ACTIONS)
def test_a_higher_role_never_may_less(action: Action) -> None:
    reach = [access.NO, access.OWN, access.KIN, access.ALL]
    row = [reach.index(each) for each in access.TABLE[action]]
    assert row == sorted(row)


def test_a_viewer_sees_and_watches() -> None:
    assert allowed(person("viewer"), machine=SHARED_BY_BOB) == {"see", "watch"}
    assert allowed(person("viewer")) == {"see", "watch"}


def test_a_viewer_may_still_take_down_a_machine_that_is_its_own() -> None:
    assert allowed(person("viewer"), machine=PRIVATE_TO_JANE) == {"see", "watch", "revoke"}


def test_a_member_drives_every_shared_machine_and_manages_its_own() -> None:
    assert allowed(person("member")) == {"see", "watch", "drive", "register"}
    assert allowed(person("member"), machine=SHARED_BY_BOB) == {"see", "watch", "drive", "register"}
    assert allowed(person("member"), machine=SHARED_BY_JANE) >= {"rename", "visibility", "kick", "revoke", "take-name"}


def test_an_admin_also_manages_members_keys_and_any_shared_machine() -> None:
    assert set(ACTIONS) - allowed(person("admin")) == {"workspace"}
    assert set(ACTIONS) - allowed(person("admin"), machine=SHARED_BY_BOB) == {"workspace"}


def test_an_owner_may_everything_in_the_workspace() -> None:
    assert allowed(person("owner")) == set(ACTIONS)
    assert allowed(person("owner"), machine=OF_A_KEY) == set(ACTIONS)


@pytest.mark.parametrize("role", ROLES)
def test_a_private_machine_does_not_exist_for_others_whatever_their_role(role: Role) -> None:
    assert allowed(person(role), machine=PRIVATE_TO_BOB) == set()
    assert allowed(key(role), machine=PRIVATE_TO_BOB) == set()
    assert "see" in allowed(person(role), machine=PRIVATE_TO_JANE)


def test_a_private_machine_of_nobody_is_seen_by_nobody() -> None:
    assert allowed(person("owner"), machine=registered(owner=None, visibility="PRIVATE")) == set()
    assert allowed(key(), machine=registered(owner=None, visibility="PRIVATE")) == set()


@pytest.mark.parametrize("role", ROLES)
def test_a_key_acts_as_a_member_owning_nothing_whatever_its_row_says(role: Role) -> None:
    assert allowed(key(role)) == {"see", "watch", "drive", "register"}
    assert allowed(key(role), machine=SHARED_BY_BOB) == {"see", "watch", "drive", "register"}
    assert key(role).person is None


def test_a_key_with_a_persons_id_owns_nothing_either() -> None:
    posing = Identity("key", JANE.id, "ci", number(0xC), {ACME: "member"}, {})
    assert not may(posing, "rename", ACME, SHARED_BY_JANE)


def test_a_key_may_take_names_of_machines_that_keys_registered_and_a_member_may_not() -> None:
    assert may(key(), "take-name", ACME, OF_A_KEY)
    assert not may(key(), "rename", ACME, OF_A_KEY)
    assert not may(person("member"), "take-name", ACME, OF_A_KEY)
    assert may(person("admin"), "take-name", ACME, OF_A_KEY)


def test_strangers_unknown_roles_and_unknown_actions_are_denied() -> None:
    assert allowed(person(None)) == set()
    assert allowed(person("superuser")) == set()  # type: ignore[arg-type]
    assert allowed(person("superuser"), machine=PRIVATE_TO_JANE) == set()  # type: ignore[arg-type]
    assert not may(person("owner"), "launch", ACME)  # type: ignore[arg-type]


def test_a_role_reaches_no_machine_of_another_workspace() -> None:
    foreign = registered(owner=JANE, workspace=OTHER)
    assert allowed(person("owner"), machine=foreign) == set()
    assert not may(person("owner"), "see", OTHER, foreign)


def test_the_outside_is_told_what_it_may_do() -> None:
    assert capabilities(person("viewer"), SHARED_BY_BOB) == ["watch"]
    assert capabilities(person("member"), SHARED_BY_BOB) == ["watch", "drive"]
    assert capabilities(person("member"), SHARED_BY_JANE) == ["watch", "drive", "manage"]
    assert capabilities(person("admin"), SHARED_BY_BOB) == ["watch", "drive", "manage"]
    assert capabilities(person("owner"), PRIVATE_TO_BOB) == []


def test_an_admin_appoints_anybody_but_owners_and_an_owner_anybody() -> None:
    assert may_appoint(person("admin"), ACME, None, "admin")
    assert may_appoint(person("admin"), ACME, "admin", None)
    assert not may_appoint(person("admin"), ACME, "member", "owner")
    assert not may_appoint(person("admin"), ACME, "owner", "viewer")
    assert not may_appoint(person("member"), ACME, None, "viewer")
    assert may_appoint(person("owner"), ACME, "owner", None)


def in_workspaces(**names: str) -> Identity:
    return Identity("person", JANE.id, "Jane", "sign-in", dict.fromkeys(names, "member"), names)


def test_the_only_workspace_need_not_be_named() -> None:
    assert choose_workspace(in_workspaces(a="acme"), None) == "a"


def test_one_of_several_workspaces_must_be_named() -> None:
    with pytest.raises(WorkspaceRequired) as caught:
        choose_workspace(in_workspaces(b="beta", a="acme"), None)
    assert caught.value.extra["workspaces"] == [{"id": "a", "name": "acme"}, {"id": "b", "name": "beta"}]


def test_a_workspace_is_named_by_id_or_by_name_in_any_case() -> None:
    both = in_workspaces(a="Acme", b="beta")
    assert choose_workspace(both, "b") == "b"
    assert choose_workspace(both, "ACME") == "a"


def test_two_workspaces_of_one_name_are_told_apart_by_id() -> None:
    twins = in_workspaces(a="acme", b="Acme")
    with pytest.raises(WorkspaceRequired, match='"acme"'):
        choose_workspace(twins, "acme")
    assert choose_workspace(twins, "a") == "a"


def test_a_workspace_that_one_does_not_belong_to_is_not_found() -> None:
    outside = Identity("person", JANE.id, "Jane", "sign-in", {"a": "member"}, {"a": "acme", "b": "beta"})
    for asked in ("b", "beta", "nowhere"):
        with pytest.raises(NotFound, match=f'no workspace matches "{asked}"'):
            choose_workspace(outside, asked)
    with pytest.raises(NotFound, match="no workspace"):
        choose_workspace(person(None), None)
