"""Shows registration, lists and changes of machines over REST."""

from __future__ import annotations

from uuid import uuid4

import pytest

from relay.store import Lease, Readout
from tests.web.site import Caller, Site


async def test_a_personal_token_registers_a_private_machine_and_gets_its_token(owner: Caller) -> None:
    made = await owner.register("mac-studio.local", labels={"os": "darwin"})
    assert made["machine"]["visibility"] == "PRIVATE"
    assert made["machine"]["name"] == "mac-studio"
    assert made["machine"]["owner"] == {"id": owner.id, "name": owner.name}
    assert made["machineToken"].startswith("rly_mach_")
    assert made["heartbeatSeconds"] == 10.0


async def test_a_workspace_key_registers_a_shared_machine_that_nobody_owns(key: Caller) -> None:
    machine = (await key.register("prod-1"))["machine"]
    assert (machine["visibility"], machine["owner"]) == ("SHARED", None)


async def test_a_key_cannot_register_a_private_machine(key: Caller) -> None:
    body = {"hostname": "h", "version": "1", "instanceId": str(uuid4()), "visibility": "PRIVATE"}
    response = await key.ask("POST", "/api/machines", body)
    assert (response.status_code, response.json()["code"]) == (409, "conflict")


async def test_the_same_installation_is_found_again_with_200_and_a_new_token(owner: Caller) -> None:
    instance = str(uuid4())
    body = {"hostname": "mac", "version": "1", "instanceId": instance}
    first = await owner.ask("POST", "/api/machines", body)
    again = await owner.ask("POST", "/api/machines", body)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["machine"]["id"] == again.json()["machine"]["id"]
    assert first.json()["machineToken"] != again.json()["machineToken"]


async def test_a_machine_that_said_hello_is_listed_with_its_presence(site: Site, owner: Caller) -> None:
    made = await owner.register("mac")
    await site.connect(made["machine"], made["machineToken"])
    (listed,) = (await owner.get("/api/machines"))["machines"]
    assert (listed["online"], listed["state"], listed["connected"], listed["pid"]) == (True, "live", True, 4711)
    assert listed == {**await owner.get(f"/api/machines/{listed['id']}"), **_moving(listed)}


async def test_a_list_is_not_sent_twice(site: Site, owner: Caller) -> None:
    await owner.machine("mac")
    async with site.client(owner.token) as client:
        first = await client.get("/api/machines")
        same = await client.get("/api/machines", headers={"if-none-match": first.headers["etag"]})
        await owner.machine("mac-two")
        changed = await client.get("/api/machines", headers={"if-none-match": first.headers["etag"]})
    assert first.headers["etag"].startswith('W/"')
    assert (same.status_code, same.content) == (304, b"")
    assert same.headers["etag"] == first.headers["etag"]
    assert (changed.status_code, len(changed.json()["machines"])) == (200, 2)


async def test_an_etag_of_one_question_answers_no_other(site: Site, owner: Caller) -> None:
    await site.settle()
    await owner.machine("mac")
    async with site.client(owner.token) as client:
        first = await client.get("/api/machines")
        other = await client.get("/api/machines?online=true", headers={"if-none-match": first.headers["etag"]})
    assert (other.status_code, other.json()["machines"]) == (200, [])


async def test_an_etag_changes_with_a_band_and_not_with_a_beat(site: Site, owner: Caller) -> None:
    await site.settle()
    made = await owner.register("mac")
    await site.connect(made["machine"], made["machineToken"])
    live = (await owner.ask("GET", "/api/machines")).headers["etag"]
    await site.beat(made["machine"], age_ms=0)
    assert (await owner.ask("GET", "/api/machines")).headers["etag"] == live
    await site.drop(made["machine"])
    dropped = await owner.ask("GET", "/api/machines")
    assert dropped.headers["etag"] != live
    assert dropped.json()["machines"][0]["connected"] is False


async def test_of_many_machines_only_those_that_rang_are_read_again(
    site: Site, owner: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of few, all are: then the times of a list are of this moment."""
    monkeypatch.setattr("relay.node.directory.FEW", 0)
    await site.settle()
    made = [await owner.register(name) for name in ("mac", "desk", "box")]
    for each in made:
        await site.connect(each["machine"], each["machineToken"])
    readings: list[object] = []
    read = site.parts.presence.read

    async def counted(workspace: str, machines: list[str]) -> Readout:
        readings.append(machines)
        return await read(workspace, machines)

    async with site.client(owner.token) as client:
        tag = (await client.get("/api/machines")).headers["etag"]
        monkeypatch.setattr(site.parts.presence, "read", counted)
        same = await client.get("/api/machines", headers={"if-none-match": tag})
        assert (same.status_code, readings) == (304, [])
        await site.drop(made[1]["machine"])
        changed = await client.get("/api/machines", headers={"if-none-match": tag})
    assert readings == [[made[1]["machine"]["id"]]]
    states = {each["name"]: each["state"] for each in changed.json()["machines"]}
    assert (changed.status_code, states) == (200, {"mac": "live", "desk": "degraded", "box": "live"})


async def test_a_list_kept_current_says_what_a_node_that_reads_everything_says(
    site: Site, owner: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After each of the things that happen to a machine."""
    monkeypatch.setattr("relay.node.directory.FEW", 0)
    await site.settle()
    made = [await owner.register(f"box-{number}") for number in range(4)]
    first = made[0]["machine"]

    async def agree() -> list[str]:
        kept = await owner.ask("GET", "/api/machines")
        site.parts.directory._forget_all()
        fresh = await owner.ask("GET", "/api/machines")
        assert kept.headers["etag"] == fresh.headers["etag"]
        return [each["state"] for each in kept.json()["machines"]]

    assert await agree() == ["offline"] * 4
    for each in made:
        await site.connect(each["machine"], each["machineToken"])
    assert await agree() == ["live"] * 4
    await site.beat(first, age_ms=40_000)
    site.parts.directory._forget_all()  # nobody is heard longer ago than before, but for a test
    assert await agree() == ["degraded"] + ["live"] * 3
    await site.beat(first, age_ms=0)
    assert await agree() == ["live"] * 4
    await site.drop(first)
    assert await agree() == ["degraded"] + ["live"] * 3
    await owner.ask("PATCH", f"/api/machines/{first['id']}", {"name": "zoo"})
    assert await agree() == ["live"] * 3 + ["degraded"]
    await site.connect(first, made[0]["machineToken"])
    assert await agree() == ["live"] * 4
    await owner.ask("DELETE", f"/api/machines/{first['id']}")
    assert await agree() == ["live"] * 3


async def test_a_bell_that_rang_before_the_row_was_known_is_not_lost(
    site: Site, owner: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.node.directory.FEW", 0)
    await site.settle()
    await owner.machine("old")
    assert len((await owner.get("/api/machines"))["machines"]) == 1

    async def too_early() -> None:
        pass

    made = await owner.register("new")
    with monkeypatch.context() as patch:
        view = site.parts.directory._views[site.workspace]
        stale, view.stale = view.stale, {}
        patch.setattr(site.node.tail, "catch_up", too_early)
        await site.connect(made["machine"], made["machineToken"])
        assert len((await owner.get("/api/machines"))["machines"]) == 1
        view.stale |= stale
    states = {each["name"]: each["state"] for each in (await owner.get("/api/machines"))["machines"]}
    assert states == {"old": "offline", "new": "live"}


async def test_a_list_writes_every_machine_as_it_is_shown_alone(site: Site, owner: Caller) -> None:
    """Also one whose labels look like the fields between which a list cuts."""
    member = await site.person("Max", "member")
    labels = {"lastSeenAt": "null", "a": '"lastSeenAt":null,"heartbeatAgeSeconds":null', "can": "[]}"}
    made = await owner.register("mac", visibility="SHARED", labels=labels)
    await owner.machine('"lastSeenAt":null,"heartbeatAgeSeconds":null', visibility="SHARED")
    await site.connect(made["machine"], made["machineToken"])
    for caller in (owner, member):
        listed = (await caller.get("/api/machines"))["machines"]
        assert len(listed) == 2
        for each in listed:
            assert each == {**await caller.get(f"/api/machines/{each['id']}"), **_moving(each)}


async def test_pages_by_cursor_show_every_machine_once_and_in_order(owner: Caller) -> None:
    for number in range(5):
        await owner.machine(f"box-{number}")
    seen, cursor = [], None
    while True:
        page = await owner.get("/api/machines", limit="2", **({"cursor": cursor} if cursor else {}))
        seen.append([machine["name"] for machine in page["machines"]])
        assert page["now"].endswith("Z")
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == [["box-0", "box-1"], ["box-2", "box-3"], ["box-4"]]


async def test_a_cursor_stays_good_when_its_machine_is_gone(owner: Caller) -> None:
    made = [await owner.machine(f"box-{number}") for number in range(4)]
    page = await owner.get("/api/machines", limit="2")
    await owner.ask("DELETE", f"/api/machines/{made[1]['id']}")
    rest = await owner.get("/api/machines", limit="2", cursor=page["next"])
    assert [machine["name"] for machine in rest["machines"]] == ["box-2", "box-3"]


async def test_a_list_is_narrowed_by_the_resolvers_rules_and_by_presence(site: Site, owner: Caller) -> None:
    await site.settle()
    made = await owner.register("prod-api-1.local")
    await site.connect(made["machine"], made["machineToken"])
    await owner.machine("prod-db-1")
    await owner.machine("laptop")
    found = await owner.get("/api/machines", q="PROD")
    assert [machine["name"] for machine in found["machines"]] == ["prod-api-1", "prod-db-1"]
    online = await owner.get("/api/machines", q="prod", online="true")
    assert [machine["name"] for machine in online["machines"]] == ["prod-api-1"]


async def test_a_list_covers_all_workspaces_or_the_one_that_is_named(site: Site, owner: Caller) -> None:
    await owner.machine("here")
    other = (await owner.ask("POST", "/api/workspaces", {"name": "second"})).json()
    await (await site.key(other["id"])).machine("there")
    assert {each["name"] for each in (await owner.get("/api/machines"))["machines"]} == {"here", "there"}
    for named in ("second", other["id"]):
        assert [each["name"] for each in (await owner.get("/api/machines", workspace=named))["machines"]] == ["there"]


async def test_a_rename_answers_the_machine_and_the_old_name_still_resolves(owner: Caller) -> None:
    machine = await owner.machine("mac")
    changed = await owner.ask("PATCH", f"/api/machines/{machine['id']}", {"name": "desk", "labels": {"room": "2"}})
    assert (changed.json()["name"], changed.json()["labels"]) == ("desk", {"room": "2"})
    found = await owner.get("/api/resolve", q="desk")
    assert (found["machine"]["id"], found["matchedBy"]) == (machine["id"], "name")


async def test_a_name_that_is_held_is_refused(owner: Caller) -> None:
    await owner.machine("mac")
    other = await owner.machine("other")
    response = await owner.ask("PATCH", f"/api/machines/{other['id']}", {"name": "MAC"})
    assert (response.status_code, response.json()["code"]) == (409, "name-taken")


async def test_visibility_decides_for_whom_a_machine_exists(site: Site, owner: Caller) -> None:
    member = await site.person("Max", "member")
    machine = await owner.machine("mac", visibility="SHARED")
    path = f"/api/machines/{machine['id']}"
    assert (await member.ask("GET", path)).status_code == 200
    hidden = await owner.ask("PATCH", f"{path}/visibility", {"visibility": "PRIVATE"})
    assert hidden.json()["visibility"] == "PRIVATE"
    assert (await member.ask("GET", path)).status_code == 404
    assert (await member.get("/api/machines"))["machines"] == []


async def test_revoking_closes_the_socket_and_says_so_and_again_says_the_same(site: Site, owner: Caller) -> None:
    made = await owner.register("mac")
    machine = made["machine"]
    held = await site.connect(machine, made["machineToken"])
    first = await owner.ask("DELETE", f"/api/machines/{machine['id']}")
    again = await owner.ask("DELETE", f"/api/machines/{machine['id']}")
    assert held.closed is not None
    assert int(held.closed) == 4001
    assert first.json() == {
        "id": machine["id"],
        "revokedAt": first.json()["revokedAt"],
        "closedConnections": 1,
        "unconfirmedNodes": [],
        "refusedEverywhere": True,
    }
    assert (again.status_code, again.json()) == (200, {**first.json(), "closedConnections": 0})
    assert await site.parts.revocations.holds(machine["workspaceId"], machine["id"])
    assert (await owner.ask("GET", f"/api/machines/{machine['id']}")).status_code == 404
    assert (await owner.get("/api/machines"))["machines"] == []


async def test_a_node_that_does_not_confirm_a_revocation_is_named(site: Site, owner: Caller) -> None:
    silent = str(uuid4())
    await site.parts.leases.renew(Lease(silent, "http://silent.test", site.clock()))
    machine = await owner.machine("mac")
    done = (await owner.ask("DELETE", f"/api/machines/{machine['id']}")).json()
    assert done["unconfirmedNodes"] == [silent]


async def test_a_revoked_installation_comes_back_only_when_somebody_says_again(owner: Caller) -> None:
    instance = str(uuid4())
    body = {"hostname": "mac", "version": "1", "instanceId": instance}
    first = (await owner.ask("POST", "/api/machines", body)).json()["machine"]
    await owner.ask("DELETE", f"/api/machines/{first['id']}")
    refused = await owner.ask("POST", "/api/machines", body)
    assert (refused.status_code, refused.json()["code"]) == (410, "machine-revoked")
    again = await owner.ask("POST", "/api/machines", {**body, "again": True})
    assert again.status_code == 201
    assert again.json()["machine"]["id"] != first["id"]


async def test_a_kick_closes_the_socket_and_revokes_nothing(site: Site, owner: Caller) -> None:
    made = await owner.register("mac")
    held = await site.connect(made["machine"], made["machineToken"])
    kicked = await owner.ask("POST", f"/api/machines/{made['machine']['id']}/kick")
    assert kicked.json()["closedConnections"] == 1
    assert held.closed is not None
    assert int(held.closed) == 4203
    assert (await owner.ask("GET", f"/api/machines/{made['machine']['id']}")).status_code == 200


def _moving(machine: dict[str, object]) -> dict[str, object]:
    return {name: machine[name] for name in ("heartbeatAgeSeconds", "lastSeenAt")}
