"""Keeps pictures of every screen, light and dark, wide and narrow, and asks axe whether everybody can use them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from axe_playwright_python.base import AXE_FILE_PATH  # type: ignore[import-untyped]
from playwright.async_api import Browser, Page, expect

from relay.rules.machine import Machine
from tests.support.browser import NARROW, WIDE, person, picture
from tests.ui.fake_machines import in_use, machine, offline
from tests.ui.fake_relay import FakeRelay

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("browser")]

MODES = [(dark, narrow) for dark in (False, True) for narrow in (False, True)]
OUTPUT = (
    b"\r\n\x1b[1mtotal 24\x1b[0m\r\n\x1b[34mbin\x1b[0m  \x1b[34mdocs\x1b[0m  \x1b[32mdeploy\x1b[0m  README.md\r\n"
    b"\x1b[31merror:\x1b[0m nothing  \x1b[33mwarning:\x1b[0m little  \x1b[36mhint:\x1b[0m much\r\n"
    b"\x1b[48;2;120;60;20;38;2;255;255;255m any colour \x1b[0m\r\n$ "
)


def team() -> list[Machine]:
    """A few machines in every state."""
    return [
        machine("mac-studio", visibility="PRIVATE"),
        in_use("prod-api-1", "Ravi", "Firefox on Linux"),
        machine("prod-api-2", owner=None),
        machine("prod-db-1", state="degraded", last_seen_at="2026-11-22T09:59:12.000Z"),
        machine("build-box-with-a-rather-long-name-01", hostname="build-box-01.eu-central.example.internal"),
        offline("jane-laptop"),
        offline("old-server", last_seen_at="2026-11-12T10:00:00.000Z"),
    ]


async def look(page: Page, name: str) -> None:
    """A picture in each mode, and no finding of axe in any."""
    await page.evaluate(AXE_FILE_PATH.read_text())
    for dark, narrow in MODES:
        await page.emulate_media(color_scheme="dark" if dark else "light")
        await page.set_viewport_size(NARROW if narrow else WIDE)
        mode = f"{'dark' if dark else 'light'}-{'narrow' if narrow else 'wide'}"
        await picture(page, f"{name}-{mode}")
        if dark != narrow:
            continue  # rules look at each colour and each layout once
        found = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        told = [(each["id"], [node["html"][:200] for node in each["nodes"]]) for each in found["violations"]]
        assert not told, mode


async def signed_out(page: Page, relay: FakeRelay) -> None:
    await page.goto(relay.nodes["a"])
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


async def invited(page: Page, relay: FakeRelay) -> None:
    await page.goto(f"{relay.nodes['a']}/#invite=rly_link_good")
    await expect(page.get_by_label("Your name")).to_be_visible()


async def enter(page: Page, relay: FakeRelay) -> None:
    relay.add(*team())
    await page.goto(f"{relay.nodes['a']}/#sign-in=rly_link_good")
    await expect(page.get_by_role("row")).to_have_count(7)


async def device(page: Page, relay: FakeRelay) -> None:
    await enter(page, relay)
    await page.evaluate("location.hash = '#device=BCDF-GHJK'")
    await expect(page.get_by_text("BCDF-GHJK")).to_be_visible()


async def panel(page: Page, relay: FakeRelay) -> None:
    await enter(page, relay)
    for _ in range(2):
        relay.open(machine("mac-studio").id)
    await page.get_by_text("mac-studio.local").click()
    await expect(page.get_by_text("Running sessions")).to_be_visible()


async def menu(page: Page, relay: FakeRelay) -> None:
    await enter(page, relay)
    await page.get_by_role("button", name="Actions for prod-api-2").click()
    await expect(page.get_by_role("menuitem", name="Revoke…")).to_be_visible()


async def revoke(page: Page, relay: FakeRelay) -> None:
    await menu(page, relay)
    await page.get_by_role("menuitem", name="Revoke…").click()
    await expect(page.get_by_role("heading", name="Revoke prod-api-2?")).to_be_visible()


async def session(page: Page, relay: FakeRelay) -> None:
    await enter(page, relay)
    await page.get_by_text("mac-studio.local").click()
    await page.get_by_role("button", name="New session").click()
    await expect(page.get_by_text("You have the keyboard")).to_be_visible()
    relay.the_session.says(OUTPUT)
    await expect(page.locator(".xterm-rows").get_by_text("README.md")).to_be_visible()


async def ended(page: Page, relay: FakeRelay) -> None:
    await session(page, relay)
    relay.the_session.ends(b'{"code":1,"signal":null,"reason":null}')
    await expect(page.get_by_text("finished, exit 1")).to_be_visible()


async def reconnecting(page: Page, relay: FakeRelay) -> None:
    await session(page, relay)
    relay.dead |= set(relay.nodes)
    relay.drop(1012)
    await expect(page.get_by_text("Reconnecting…")).to_be_visible()


async def members(page: Page, relay: FakeRelay) -> None:
    await enter(page, relay)
    await page.goto(f"{relay.nodes['a']}/#/team")
    await expect(page.get_by_text("build machines")).to_be_visible()


async def nothing(page: Page, relay: FakeRelay) -> None:
    await page.goto(f"{relay.nodes['a']}/#sign-in=rly_link_good")
    await expect(page.get_by_text("No machines yet")).to_be_visible()


SCREENS: list[Callable[[Page, FakeRelay], Awaitable[None]]] = [
    signed_out, invited, device, enter, panel, menu, revoke, session, ended, reconnecting, members, nothing,
]  # fmt: skip


@pytest.mark.parametrize("screen", SCREENS, ids=lambda screen: screen.__name__)
async def test_every_screen_is_accessible_and_kept_as_a_picture(
    screen: Callable[[Page, FakeRelay], Awaitable[None]], relay: FakeRelay, browser: Browser
) -> None:
    async with person(browser) as context:
        page = await context.new_page()
        await screen(page, relay)
        await look(page, screen.__name__)
