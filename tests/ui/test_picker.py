"""Shows that the list of machines is found, moved through and managed as a person would."""

from __future__ import annotations

import msgspec
import pytest
from playwright.async_api import Browser, Page, expect

from relay.rules.browser_messages import LastSeen, Subscribe, Visible
from tests.support.browser import person
from tests.ui.fake_machines import WORKSPACE, in_use, machine, offline
from tests.ui.fake_relay import FakeRelay
from tests.ui.test_session import sign_in, until

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("browser")]

FLEET = [machine("prod-api-1"), machine("prod-api-2"), machine("prod-db-1"), machine("mac-studio")]


async def names(page: Page) -> list[str]:
    """The names of the rows, from the top."""
    return [text.strip() for text in await page.locator(".row-name").all_inner_texts()]


async def test_a_sign_in_link_works_once_and_leaves_no_secret_in_the_address(
    relay: FakeRelay, browser: Browser
) -> None:
    async with person(browser) as context:
        page = await context.new_page()
        await page.goto(f"{relay.nodes['a']}/#sign-in=rly_link_good")
        await expect(page.get_by_text("Connected")).to_be_visible()
        assert page.url == f"{relay.nodes['a']}/#/"
        assert relay.calls[0] == ("POST", "sign-in", {"secret": "rly_link_good"})
    async with person(browser) as context:
        page = await context.new_page()
        await page.goto(f"{relay.nodes['a']}/#sign-in=rly_link_good")
        await expect(page.get_by_text("This link was used or is too old.")).to_be_visible()


async def test_an_invitation_asks_for_a_name_and_lets_the_person_in(relay: FakeRelay, browser: Browser) -> None:
    async with person(browser) as context:
        page = await context.new_page()
        await page.goto(f"{relay.nodes['a']}/#invite=rly_link_good")
        await page.get_by_label("Your name").fill("Jane")
        await page.get_by_role("button", name="Join").click()
        await expect(page.get_by_text("Connected")).to_be_visible()
        assert relay.calls[0] == ("POST", "invitations/accept", {"secret": "rly_link_good", "name": "Jane"})


async def test_a_terminal_is_signed_in_only_after_a_question(relay: FakeRelay, browser: Browser) -> None:
    async with person(browser) as context:
        page = await context.new_page()
        await sign_in(page, relay)
        await page.evaluate("location.hash = '#device=BCDF-GHJK'")
        await expect(page.get_by_text("BCDF-GHJK")).to_be_visible()
        assert not [call for call in relay.calls if "device" in call[1]]
        await page.get_by_role("button", name="Approve").click()
        await expect(page.get_by_text("relay on build-box is signed in as Jane.")).to_be_visible()
        assert relay.calls[-1] == ("POST", "device/approve", {"userCode": "BCDF-GHJK", "deny": False})


async def test_typing_finds_by_the_resolvers_rules(relay: FakeRelay, browser: Browser) -> None:
    relay.add(*FLEET)
    async with person(browser) as context:
        page = await context.new_page()
        await sign_in(page, relay)
        search = page.get_by_role("combobox")
        await expect(page.get_by_text("4 machines, 4 online.")).to_be_visible()
        await search.fill("api")
        await expect(page.get_by_text("2 machines match.")).to_be_visible()
        assert await names(page) == ["prod-api-1", "prod-api-2"]
        await search.fill("MAC-STUDIO.")
        await expect(page.get_by_text("1 machine matches.")).to_be_visible()
        await search.fill(FLEET[2].id[:6])
        await expect(page.locator(".row-name")).to_have_text(["prod-db-1"])
        await search.fill("p")
        await expect(page.get_by_text("Type one more letter")).to_be_visible()
        assert len(await names(page)) == 4
        await search.fill("nowhere")
        await expect(page.get_by_text("No machine matches.")).to_be_visible()


async def test_the_keyboard_is_enough(relay: FakeRelay, browser: Browser) -> None:
    relay.add(*FLEET)
    async with person(browser) as context:
        page = await context.new_page()
        await sign_in(page, relay)
        await page.get_by_role("combobox").blur()
        await page.keyboard.press("/")
        await expect(page.get_by_role("combobox")).to_be_focused()
        await page.keyboard.type("prod")
        await page.keyboard.press("ArrowDown")
        await page.keyboard.press("ArrowDown")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name="prod-api-2")).to_be_visible()
        await expect(page.get_by_role("button", name="New session")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.get_by_text("You have the keyboard")).to_be_visible()
        await page.go_back()
        await expect(page.get_by_role("heading", name="prod-api-2")).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("combobox")).to_be_visible()


async def test_changes_show_as_they_happen(relay: FakeRelay, browser: Browser) -> None:
    relay.add(*FLEET)
    async with person(browser) as context:
        page = await context.new_page()
        await sign_in(page, relay)
        await expect(page.get_by_text("4 machines, 4 online.")).to_be_visible()
        relay.add(offline("mac-studio"))
        await expect(page.get_by_text("last seen 40 min ago")).to_be_visible()
        relay.add(in_use("prod-db-1", "Ravi", "laptop"))
        await expect(page.get_by_text("Ravi, laptop")).to_be_visible()
        relay.remove(FLEET[0])
        await expect(page.get_by_text("3 machines, 2 online.")).to_be_visible()


async def test_a_hole_in_the_events_asks_for_a_new_snapshot(relay: FakeRelay, browser: Browser) -> None:
    relay.add(*FLEET)
    async with person(browser) as context:
        page = await context.new_page()
        await sign_in(page, relay)
        await expect(page.get_by_text("4 machines, 4 online.")).to_be_visible()
        (peer,) = relay.peers
        peer.subscribed[WORKSPACE] += 1  # one message that the page never gets
        relay.remove(FLEET[0])
        await expect(page.get_by_text("3 machines, 3 online.")).to_be_visible()
        assert len([each for each in relay.heard if isinstance(each, Subscribe)]) == 2


async def test_of_ten_thousand_machines_only_those_in_sight_are_on_the_page(relay: FakeRelay, browser: Browser) -> None:
    relay.add(*(machine(f"node-{number}") for number in range(10_000)))
    async with person(browser) as context:
        page = await context.new_page()
        await sign_in(page, relay)
        await expect(page.get_by_text("10000 machines, 10000 online.")).to_be_visible()
        assert await page.locator(".row").count() < 60
        await page.get_by_role("combobox").fill("node-9999")
        await expect(page.locator(".row-name")).to_have_text(["node-9999"])
        await page.get_by_role("combobox").fill("")
        await page.locator(".rows").evaluate("rows => rows.scrollTo(0, rows.scrollHeight)")
        await expect(page.locator(".row-name").last).to_have_text("node-9999")
        last = machine("node-9999").id
        await until(relay, lambda: any(last in each.machines for each in relay.heard if isinstance(each, Visible)))


async def test_a_machine_is_renamed_hidden_and_revoked_from_its_row(relay: FakeRelay, browser: Browser) -> None:
    relay.add(*FLEET)
    async with person(browser) as context:
        page = await context.new_page()
        await sign_in(page, relay)
        await page.get_by_role("button", name="Actions for mac-studio").click()
        await page.get_by_role("menuitem", name="Rename…").click()
        await page.get_by_role("dialog").get_by_label("Name").fill("taken")
        await page.get_by_role("button", name="Rename").click()
        await expect(page.get_by_text("Another machine has this name.")).to_be_visible()
        await page.get_by_role("dialog").get_by_label("Name").fill("studio")
        await page.get_by_role("button", name="Rename").click()
        await expect(page.locator(".row-name", has_text="studio")).to_have_text("studio")

        await page.get_by_role("button", name="Actions for studio").click()
        await page.get_by_role("menuitem", name="Make private…").click()
        await page.get_by_role("button", name="Make private").click()
        await expect(page.get_by_text("private", exact=True)).to_have_count(1)

        await page.get_by_role("button", name="Actions for studio").click()
        await page.get_by_role("menuitem", name="Revoke…").click()
        await page.get_by_role("button", name="Revoke").click()
        await expect(page.get_by_text("studio is revoked.")).to_be_visible()
        await expect(page.get_by_text("3 machines, 3 online.")).to_be_visible()


async def test_what_one_may_not_do_is_not_offered(relay: FakeRelay, browser: Browser) -> None:
    relay.add(machine("mac-studio", can=["watch"]))
    async with person(browser) as context:
        page = await context.new_page()
        await sign_in(page, relay)
        await page.get_by_role("button", name="Actions for mac-studio").click()
        await expect(page.get_by_role("menuitem")).to_have_text(["Copy the id"])
        await page.keyboard.press("Escape")
        await page.get_by_role("row", name="mac-studio").click()
        await expect(page.get_by_role("heading", name="mac-studio")).to_be_visible()
        await expect(page.get_by_role("button", name="New session")).to_have_count(0)


async def test_another_workspace_shows_its_own_machines(relay: FakeRelay, browser: Browser) -> None:
    relay.add(*FLEET)
    async with person(browser) as context:
        page = await context.new_page()
        await sign_in(page, relay)
        await page.get_by_role("button", name="Workspace acme").click()
        await page.get_by_role("menuitem", name="weekend").click()
        await expect(page.get_by_text("No machines yet")).to_be_visible()
        await page.reload()
        await expect(page.get_by_role("button", name="Workspace weekend")).to_be_visible()


async def test_the_connection_is_shown_as_it_is(relay: FakeRelay, browser: Browser) -> None:
    relay.add(*FLEET)
    async with person(browser) as context:
        page = await context.new_page()
        await sign_in(page, relay)
        relay.dead |= {"a", "b"}
        relay.drop(4200)
        await expect(page.get_by_text("Reconnecting…")).to_be_visible()
        await expect(page.get_by_text("No answer, still trying…")).to_be_visible()
        relay.dead.clear()
        await page.get_by_role("button", name="Try now").click()
        await expect(page.get_by_text("Connected")).to_be_visible()


async def test_a_new_key_is_shown_once(relay: FakeRelay, browser: Browser) -> None:
    async with person(browser) as context:
        page = await context.new_page()
        await sign_in(page, relay, "#/team")
        await page.get_by_role("button", name="New key…").click()
        await page.get_by_label("What is it for?").fill("runners")
        await page.get_by_role("button", name="Create").click()
        await expect(page.get_by_label("The new key").last).to_have_value("rly_team_example")
        await page.get_by_role("button", name="Done").click()
        await expect(page.get_by_text("rly_team_example")).to_have_count(0)
        assert ("POST", f"workspaces/{WORKSPACE}/keys", {"name": "runners"}) in relay.calls


async def test_an_invitation_link_is_made_for_a_role(relay: FakeRelay, browser: Browser) -> None:
    async with person(browser) as context:
        page = await context.new_page()
        await sign_in(page, relay, "#/team")
        await page.get_by_role("button", name="Invite…").click()
        await page.get_by_role("radio", name="viewer").check()
        await page.get_by_role("button", name="Make a link").click()
        await expect(page.get_by_label("Invitation link").last).to_have_value("http://127.0.0.1/#invite=rly_link_other")
        assert ("POST", f"workspaces/{WORKSPACE}/invitations", {"role": "viewer"}) in relay.calls


async def test_last_seen_times_move_without_other_changes(relay: FakeRelay, browser: Browser) -> None:
    weak = msgspec.structs.replace(FLEET[0], state="degraded", last_seen_at="2026-11-22T09:59:00.000Z")
    relay.add(weak)
    async with person(browser) as context:
        page = await context.new_page()
        await sign_in(page, relay)
        await expect(page.get_by_text("unsteady, seen 1 min ago")).to_be_visible()
        (peer,) = relay.peers
        peer.tell(WORKSPACE, LastSeen, at={weak.id: "2026-11-22T09:59:50.000Z"})
        await expect(page.get_by_text("unsteady, seen 10 s ago")).to_be_visible()
