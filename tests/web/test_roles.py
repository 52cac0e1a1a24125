"""Walks the table of roles over REST: every role asks every call that asks for one."""

from __future__ import annotations

from typing import Any, NamedTuple
from uuid import uuid4

import pytest

from tests.web.site import Caller, Site

ROLES = ("viewer", "member", "admin", "owner", "key")
ALL = (True, True, True, True, True)
PEOPLE = (True, True, True, True, False)
MEMBERS = (False, True, True, True, True)
ADMINS = (False, False, True, True, False)
OWNERS = (False, False, False, True, False)


class Row(NamedTuple):
    """One call on things of the workspace that are not the asker's own; words in braces stand for ids."""

    method: str
    path: str
    body: dict[str, Any] | None
    may: tuple[bool, ...]  # by role, in the order of ROLES


TABLE = (
    Row("GET", "/api/machines", None, ALL),
    Row("GET", "/api/machines/{shared}", None, ALL),
    Row("GET", "/api/resolve?q=build", None, ALL),
    Row("GET", "/api/whoami?hostname=build", None, ALL),
    Row("GET", "/api/me", None, ALL),
    Row("POST", "/api/tickets", None, ALL),
    Row("POST", "/api/machines", {"hostname": "new", "version": "1", "instanceId": str(uuid4())}, MEMBERS),
    Row("PATCH", "/api/machines/{shared}", {"name": "renamed"}, ADMINS),
    Row("PATCH", "/api/machines/{shared}/visibility", {"visibility": "SHARED"}, ADMINS),
    Row("POST", "/api/machines/{shared}/kick", None, ADMINS),
    Row("DELETE", "/api/machines/{shared}", None, ADMINS),
    Row("GET", "/api/workspaces", None, ALL),
    Row("POST", "/api/workspaces", {"name": "mine"}, PEOPLE),
    Row("PATCH", "/api/workspaces/{workspace}", {"name": "renamed"}, OWNERS),
    Row("GET", "/api/workspaces/{workspace}/audit", None, ADMINS),
    Row("GET", "/api/workspaces/{workspace}/members", None, ALL),
    Row("PATCH", "/api/workspaces/{workspace}/members/{user}", {"role": "viewer"}, ADMINS),
    Row("DELETE", "/api/workspaces/{workspace}/members/{user}", None, ADMINS),
    Row("GET", "/api/workspaces/{workspace}/invitations", None, ADMINS),
    Row("POST", "/api/workspaces/{workspace}/invitations", {"role": "admin"}, ADMINS),
    Row("POST", "/api/workspaces/{workspace}/invitations", {"role": "owner"}, OWNERS),
    Row("DELETE", "/api/workspaces/{workspace}/invitations/{invitation}", None, ADMINS),
    Row("GET", "/api/workspaces/{workspace}/keys", None, ADMINS),
    Row("POST", "/api/workspaces/{workspace}/keys", {"name": "ci"}, ADMINS),
    Row("DELETE", "/api/workspaces/{workspace}/keys/{key}", None, ADMINS),
    Row("GET", "/api/tokens", None, PEOPLE),
    Row("POST", "/api/tokens", {"name": "laptop"}, PEOPLE),
    Row("POST", "/api/sign-in-links", None, PEOPLE),
    Row("POST", "/api/sign-out", None, PEOPLE),
)


async def asker(site: Site, role: str) -> Caller:
    """Somebody in that role."""
    if role == "key":
        return await site.key()
    return await site.person(role.title(), role)  # type: ignore[arg-type]


async def things(site: Site) -> dict[str, str]:
    """What the paths of the table name, none of it the asker's."""
    somebody = await site.person("Sam", "member")
    owner = await site.caller(site.owner)
    shared = await somebody.machine(f"build-{somebody.id[:8]}", visibility="SHARED")
    invited = await owner.ask("POST", f"/api/workspaces/{site.workspace}/invitations", {})
    key = await site.key()
    return {
        "workspace": site.workspace,
        "shared": shared["id"],
        "user": somebody.id,
        "invitation": invited.json()["id"],
        "key": key.id,
    }


@pytest.mark.parametrize("role", ROLES)
async def test_every_role_may_do_what_the_table_says_and_nothing_else(site: Site, role: str) -> None:
    column = ROLES.index(role)
    named = await things(site)
    wrong = []
    # What is refused goes first, because what is allowed takes things away.
    for row in sorted(TABLE, key=lambda row: (row.may[column], row.method == "DELETE", row.path == "/api/sign-out")):
        who = await asker(site, role)
        if row.may[column] and row.method == "DELETE":
            named = await things(site)
        response = await who.ask(row.method, row.path.format(**named), row.body)
        expected = (200, 201) if row.may[column] else (403,)
        if response.status_code not in expected:
            wrong.append((row.method, row.path, response.status_code, response.text))
    assert wrong == []


async def test_everybody_may_do_as_they_like_with_what_is_theirs(site: Site) -> None:
    member = await site.person("Max", "member")
    machine = await member.machine("laptop")
    path = f"/api/machines/{machine['id']}"
    assert (await member.ask("PATCH", path, {"name": "desk"})).status_code == 200
    assert (await member.ask("PATCH", f"{path}/visibility", {"visibility": "SHARED"})).status_code == 200
    assert (await member.ask("POST", f"{path}/kick")).status_code == 200
    assert (await member.ask("DELETE", path)).status_code == 200


async def test_an_admin_has_no_power_over_a_machine_that_does_not_exist_for_them(site: Site) -> None:
    member, admin = await site.person("Max", "member"), await site.person("Ada", "admin")
    machine = await member.machine("laptop")
    assert (await admin.ask("DELETE", f"/api/machines/{machine['id']}")).status_code == 404
    assert (await member.ask("GET", f"/api/machines/{machine['id']}")).status_code == 200
