"""Shows the page on a real cluster in a real browser: sign in, find the machine, type, reload, still there."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, BrowserContext, Page, expect

from tests.support.browser import person, picture
from tests.support.cluster import Rest, Team

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("browser")]

ANSWER_MS = 15_000


async def signed_in(context: BrowserContext, who: Rest, url: str) -> Page:
    """A page on which somebody followed a sign-in link of theirs."""
    secret = who("POST", "/api/sign-in-links")["url"].partition("#sign-in=")[2]
    page = await context.new_page()
    await page.goto(f"{url}/#sign-in={secret}")
    await expect(page.get_by_text("Connected", exact=True)).to_be_visible()
    return page


async def type_line(page: Page, line: str) -> None:
    """Type into the terminal that has the focus."""
    await page.keyboard.type(line)
    await page.keyboard.press("Enter")


async def shows(page: Page, text: str) -> None:
    """Wait until the terminal shows a line that is exactly this."""
    rows = page.locator(".xterm-rows > div")
    await expect(rows.filter(has_text=text).first).to_be_visible(timeout=ANSWER_MS)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_a_person_signs_in_finds_a_machine_types_and_reloads(team: Team, browser: Browser, dark: bool) -> None:
    """Through a node that the machine is not connected to, in both colour schemes."""
    agent = team.agent("mac-studio")
    team.agent("prod-api-1")
    jane = team.person("Jane", "member")
    look = "dark" if dark else "light"
    async with person(browser, dark=dark) as context:
        page = await signed_in(context, jane, team.cluster.other(agent.node))
        assert "sign-in" not in page.url
        await expect(page.get_by_role("row")).to_have_count(2)
        await picture(page, f"cluster-picker-{look}")

        await page.keyboard.type("studio")
        await expect(page.get_by_role("row")).to_have_count(1)
        await page.keyboard.press("Enter")
        await page.get_by_role("button", name="New session").click()
        await expect(page.get_by_text("You have the keyboard")).to_be_visible()
        await type_line(page, "echo answer=$((6*7))")
        await shows(page, "answer=42")
        await picture(page, f"cluster-terminal-{look}")

        await page.reload()
        await expect(page.get_by_text("You have the keyboard")).to_be_visible()
        await shows(page, "answer=42")
        await type_line(page, "echo again=$((6*7))")
        await shows(page, "again=42")


async def test_a_page_whose_node_is_killed_goes_on_at_another_without_losing_a_byte(
    team: Team, browser: Browser
) -> None:
    """The other node is another origin: the page gets a ticket there and resumes where it was."""
    agent = team.agent("builder")
    jane = team.person("Jane", "member")
    near = team.cluster.other(agent.node)
    node = team.cluster.node_at(near)
    async with person(browser) as context:
        page = await signed_in(context, jane.on(near), near)
        await page.get_by_role("row", name="builder").click()
        await page.get_by_role("button", name="New session").click()
        await expect(page.get_by_text("You have the keyboard")).to_be_visible()
        await type_line(page, "for i in $(seq 1 60); do echo count=$i; sleep 0.05; done; echo all=$((1))")
        await shows(page, "count=5")
        node.kill()
        try:
            await shows(page, "all=1")
            text = await page.locator(".xterm-rows").inner_text()
            shown = [int(line.partition("=")[2]) for line in text.splitlines() if line.startswith("count=")]
            assert shown == list(range(shown[0], 61))
            await picture(page, "cluster-after-node-death")
        finally:
            node.start_again()
            team.cluster.wait_ready(near)


async def test_a_machine_is_renamed_made_private_and_revoked_from_its_row(team: Team, browser: Browser) -> None:
    """What the row's menu does is done, and everybody's picture follows by itself."""
    agent = team.agent("old-name")
    async with person(browser) as context:
        admin = team.person("Ada", "admin")
        page = await signed_in(context, admin, team.cluster.urls[0])
        await page.get_by_role("button", name="Actions for old-name").click()
        await page.get_by_role("menuitem", name="Rename").click()
        await page.get_by_role("dialog").get_by_role("textbox").fill("new-name")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("row", name="new-name")).to_be_visible()
        await expect(page.get_by_role("dialog")).to_have_count(0)
        await page.get_by_role("button", name="Actions for new-name").click()
        await page.get_by_role("menuitem", name="Revoke").click()
        await picture(page, "cluster-revoke")
        await page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
        await expect(page.get_by_role("row", name="new-name")).to_have_count(0)
    assert agent.ends() == 0
    assert team.machines() == []
