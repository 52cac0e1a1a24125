"""Shows that what one may not see does not exist: not in lists, answers, errors or their wording."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from relay.web.site import CALLS
from tests.web.site import Caller, Site

WITH_IDS = [call for call in CALLS if "{" in call.path]
BODIES: dict[str, dict[str, Any]] = {
    "change_machine": {"name": "mine"},
    "change_visibility": {"visibility": "SHARED"},
    "change_workspace": {"name": "mine"},
    "change_member": {"role": "viewer"},
    "create_invitation": {},
    "create_key": {"name": "mine"},
}


async def hidden_things(site: Site) -> dict[str, dict[str, str]]:
    """Ids for every path, by why the asker must not know them."""
    stranger = await site.person("Stella", "member")
    theirs = await stranger.ask("POST", "/api/workspaces", {"name": "theirs"})
    foreign = theirs.json()["id"]
    colleague = await site.person("Carl", "owner")
    invited = await stranger.ask("POST", f"/api/workspaces/{foreign}/invitations", {})
    token = await stranger.ask("POST", "/api/tokens", {"name": "theirs"})
    elsewhere = {
        "workspace": foreign,
        "machine": (await (await site.key(foreign)).machine("there"))["id"],
        "user": stranger.id,
        "invitation": invited.json()["id"],
        "key": (await site.key(foreign)).id,
        "token": token.json()["id"],
    }
    invisible = {**elsewhere, "machine": (await colleague.machine("laptop"))["id"]}
    unknown = {name: str(uuid4()) for name in elsewhere}
    upper = {name: id.upper() for name, id in elsewhere.items()}
    malformed = dict.fromkeys(elsewhere, "nonsense")
    return {
        "unknown": unknown, "foreign": elsewhere, "invisible": invisible, "upper": upper, "malformed": malformed
    }  # fmt: skip


async def test_ids_that_are_unknown_foreign_or_invisible_get_byte_identical_answers(site: Site) -> None:
    """Asked by an owner of another workspace, who may do everything in their own."""
    owner = await site.caller(site.owner)
    hidden = await hidden_things(site)
    for call in WITH_IDS:
        answers = set()
        for ids in hidden.values():
            response = await owner.ask(call.method, call.path.format(**ids), BODIES.get(call.name))
            headers = {name: value for name, value in response.headers.items() if name != "date"}
            answers.add((response.status_code, response.content, tuple(sorted(headers.items()))))
        assert len(answers) == 1, (call.name, answers)
        ((status, content, _headers),) = answers
        assert status == 404, (call.name, content)


async def test_things_of_another_workspace_are_not_reached_through_ones_own(site: Site) -> None:
    owner = await site.caller(site.owner)
    foreign = (await hidden_things(site))["foreign"]
    mine = f"/api/workspaces/{site.workspace}"
    answers = {
        (await owner.ask("DELETE", f"{mine}/keys/{foreign['key']}")).content,
        (await owner.ask("DELETE", f"{mine}/keys/{uuid4()}")).content,
        (await owner.ask("DELETE", f"{mine}/invitations/{foreign['invitation']}")).content,
        (await owner.ask("DELETE", f"{mine}/members/{uuid4()}")).content,
        (await owner.ask("PATCH", f"{mine}/members/{uuid4()}", {"role": "viewer"})).content,
        (await owner.ask("GET", f"/api/machines/{uuid4()}")).content,
    }
    assert len(answers) == 1
    assert b"not-found" in answers.pop()


@pytest.mark.parametrize("role", ["viewer", "member", "admin", "owner"])
async def test_a_private_machine_of_somebody_else_is_nowhere(site: Site, role: str) -> None:
    colleague = await site.person("Carl", "member")
    machine = await colleague.machine("secret-laptop", name="secret-name")
    who = await site.person("Ann", role)  # type: ignore[arg-type]
    for path in ("/api/machines", "/api/machines?q=secret", "/api/machines?workspace=acme"):
        assert (await who.get(path))["machines"] == []
    for query in ("secret-laptop", "secret-name", "secret", machine["id"], machine["id"][:8]):
        response = await who.ask("GET", "/api/resolve", q=query)
        assert response.status_code == 404
        assert response.json()["message"] == f'no machine matches "{query}"'
    assert (await who.get("/api/whoami", hostname="secret-laptop"))["matched"] is False


async def test_a_list_has_the_same_etag_whether_or_not_something_hidden_moved(site: Site, owner: Caller) -> None:
    await owner.machine("mac")
    colleague = await site.person("Carl", "member")
    before = (await owner.ask("GET", "/api/machines")).headers["etag"]
    await colleague.machine("laptop")
    assert (await owner.ask("GET", "/api/machines")).headers["etag"] == before


async def test_the_audit_trail_shows_a_private_machine_to_its_owner_alone(site: Site, owner: Caller) -> None:
    admin = await site.person("Ada", "admin")
    machine = await admin.machine("laptop")
    path = f"/api/workspaces/{site.workspace}/audit"
    assert machine["id"] in str(await admin.get(path))
    assert machine["id"] not in str(await owner.get(path))


async def test_a_private_name_neither_blocks_others_nor_betrays_itself(site: Site, owner: Caller) -> None:
    colleague = await site.person("Carl", "member")
    await colleague.machine("laptop")
    mine = await owner.machine("laptop")
    assert (mine["name"], mine["shadowedBy"]) == ("laptop", None)
