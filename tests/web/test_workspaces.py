"""Shows workspaces, members, keys, tokens and the audit trail over REST."""

from __future__ import annotations

from relay.registry import SYSTEM
from tests.web.site import Caller, Site


async def test_a_workspace_is_founded_listed_and_changed_by_its_owner(owner: Caller) -> None:
    made = await owner.ask("POST", "/api/workspaces", {"name": " second "})
    assert made.status_code == 201
    workspace = made.json()
    assert (workspace["name"], workspace["role"], workspace["nameTakeover"]) == ("second", "owner", "newest")
    changed = await owner.ask(
        "PATCH", f"/api/workspaces/{workspace['id']}", {"name": "third", "nameTakeover": "refuse-online"}
    )
    assert (changed.json()["name"], changed.json()["nameTakeover"]) == ("third", "refuse-online")
    assert [each["name"] for each in (await owner.get("/api/workspaces"))["workspaces"]] == ["acme", "third"]


async def test_a_workspace_that_was_founded_on_another_node_a_moment_ago_is_there(site: Site, owner: Caller) -> None:
    await owner.get("/api/workspaces")  # from now on this node remembers who they are
    made = await site.parts.registry.workspaces.create("elsewhere", owner.id, SYSTEM, site.clock())
    answer = await owner.ask("POST", f"/api/workspaces/{made.id}/keys", {"name": "ci"})
    assert answer.status_code == 201, answer.text


async def test_a_key_sees_its_one_workspace(site: Site, key: Caller) -> None:
    (only,) = (await key.get("/api/workspaces"))["workspaces"]
    assert (only["id"], only["role"]) == (site.workspace, "member")
    assert (await key.get("/api/me"))["user"] == {"kind": "key", "id": key.id, "name": "ci"}


async def test_several_workspaces_and_none_named_is_a_question_back(owner: Caller) -> None:
    await owner.ask("POST", "/api/workspaces", {"name": "second"})
    response = await owner.ask("GET", "/api/resolve", q="mac")
    assert (response.status_code, response.json()["code"]) == (400, "workspace-required")
    assert {each["name"] for each in response.json()["workspaces"]} == {"acme", "second"}


async def test_a_role_is_changed_and_counts_at_once(site: Site, owner: Caller) -> None:
    member = await site.person("Max", "member")
    audit = f"/api/workspaces/{site.workspace}/audit"
    assert (await member.ask("GET", audit)).status_code == 403
    changed = await owner.ask("PATCH", f"/api/workspaces/{site.workspace}/members/{member.id}", {"role": "admin"})
    assert (changed.json()["user"]["name"], changed.json()["role"]) == ("Max", "admin")
    assert (await member.ask("GET", audit)).status_code == 200


async def test_only_owners_make_and_unmake_owners(site: Site, owner: Caller) -> None:
    admin, member = await site.person("Ada", "admin"), await site.person("Max", "member")
    members = f"/api/workspaces/{site.workspace}/members"
    assert (await admin.ask("PATCH", f"{members}/{member.id}", {"role": "owner"})).status_code == 403
    assert (await admin.ask("PATCH", f"{members}/{owner.id}", {"role": "viewer"})).status_code == 403
    assert (await admin.ask("DELETE", f"{members}/{owner.id}")).status_code == 403
    invite = await admin.ask("POST", f"/api/workspaces/{site.workspace}/invitations", {"role": "owner"})
    assert invite.status_code == 403
    assert (await owner.ask("PATCH", f"{members}/{member.id}", {"role": "owner"})).status_code == 200


async def test_the_last_owner_stays(site: Site, owner: Caller) -> None:
    members = f"/api/workspaces/{site.workspace}/members"
    left = await owner.ask("DELETE", f"{members}/{owner.id}")
    assert (left.status_code, left.json()["code"]) == (409, "conflict")
    demoted = await owner.ask("PATCH", f"{members}/{owner.id}", {"role": "admin"})
    assert demoted.status_code == 409


async def test_who_leaves_takes_private_machines_along_and_passes_shared_ones_on(site: Site, owner: Caller) -> None:
    member = await site.person("Max", "member")
    private, shared = await member.machine("laptop"), await member.machine("build", visibility="SHARED")
    left = await member.ask("DELETE", f"/api/workspaces/{site.workspace}/members/{member.id}")
    assert left.json() == {
        "user": member.id,
        "revokedMachines": [private["id"]],
        "passedMachines": [shared["id"]],
        "heir": {"id": owner.id, "name": owner.name},
    }
    assert (await owner.get(f"/api/machines/{shared['id']}"))["owner"]["id"] == owner.id
    assert (await member.get("/api/me"))["workspaces"] == []


async def test_a_key_is_told_once_works_and_is_revoked(site: Site, owner: Caller) -> None:
    path = f"/api/workspaces/{site.workspace}/keys"
    made = (await owner.ask("POST", path, {"name": "ci", "expiresInDays": 30})).json()
    assert made["token"].startswith("rly_team_")
    (listed,) = (await owner.get(path))["keys"]
    assert listed == {name: value for name, value in made.items() if name != "token"}
    robot = Caller(site, made["id"], "ci", made["token"])
    assert (await robot.ask("GET", "/api/machines")).status_code == 200
    gone = await owner.ask("DELETE", f"{path}/{made['id']}")
    assert gone.json() == {"id": made["id"], "revokedMachines": []}
    assert (await robot.ask("GET", "/api/machines")).status_code == 401


async def test_a_revoked_key_takes_its_machines_along_only_when_asked(site: Site, owner: Caller) -> None:
    staying, going = await site.key(), await site.key()
    kept, taken = await staying.machine("kept"), await going.machine("taken")
    keys = f"/api/workspaces/{site.workspace}/keys"
    assert (await owner.ask("DELETE", f"{keys}/{staying.id}")).json()["revokedMachines"] == []
    done = await owner.ask("DELETE", f"{keys}/{going.id}", machines="true")
    assert done.json()["revokedMachines"] == [taken["id"]]
    assert [each["id"] for each in (await owner.get("/api/machines"))["machines"]] == [kept["id"]]


async def test_a_personal_token_is_told_once_works_and_is_revoked(site: Site, owner: Caller) -> None:
    made = (await owner.ask("POST", "/api/tokens", {"name": "laptop"})).json()
    assert made["token"].startswith("rly_pat_")
    listed = (await owner.get("/api/tokens"))["tokens"]
    assert {name: value for name, value in made.items() if name != "token"} in listed
    mine = Caller(site, owner.id, owner.name, made["token"])
    assert (await mine.get("/api/me"))["user"]["id"] == owner.id
    assert (await owner.ask("DELETE", f"/api/tokens/{made['id']}")).json() == {"id": made["id"]}
    assert (await mine.ask("GET", "/api/me")).status_code == 401


async def test_the_audit_trail_says_who_did_what_in_pages(site: Site, owner: Caller) -> None:
    path = f"/api/workspaces/{site.workspace}/audit"
    machine = await owner.machine("mac")
    await owner.ask("DELETE", f"/api/machines/{machine['id']}")
    whole = (await owner.get(path))["entries"]
    assert whole[0]["subject"] == machine["id"]
    assert whole[0]["actor"] == {"kind": "person", "id": owner.id, "name": owner.name}
    paged, cursor = [], None
    while True:
        page = await owner.get(path, limit="2", **({"cursor": cursor} if cursor else {}))
        paged += page["entries"]
        cursor = page["next"]
        if cursor is None:
            break
    assert paged == whole


async def test_a_ticket_stands_for_its_maker_once(site: Site, owner: Caller) -> None:
    made = await owner.ask("POST", "/api/tickets")
    assert made.status_code == 201
    claim = await site.parts.tickets.redeem(made.json()["ticket"])
    assert claim is not None
    assert (await site.parts.authenticator.by_claim(claim)).id == owner.id
    assert owner.token not in claim
    assert await site.parts.tickets.redeem(made.json()["ticket"]) is None
