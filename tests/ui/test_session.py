"""Shows that a session on the page loses nothing and repeats nothing, whatever happens to page, socket and node."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

import pytest
from playwright.async_api import Browser, Dialog, Page, expect

from relay.rules.browser_messages import Attach, BrowserHello, Detached
from tests.support.browser import person, picture
from tests.ui.fake_machines import machine, offline
from tests.ui.fake_relay import FakeRelay
from tests.ui.fake_session import FakeSession

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("browser")]

BOX = machine("mac-studio")


async def sign_in(page: Page, relay: FakeRelay, place: str = "") -> None:
    """Signed in on node a, with one machine."""
    relay.links.add("rly_link_good")
    if not relay.machines:
        relay.add(BOX)
    await page.goto(f"{relay.nodes['a']}/#sign-in=rly_link_good")
    await expect(page.get_by_text("Connected")).to_be_visible()
    if place:
        await page.goto(f"{relay.nodes['a']}/{place}")


async def open_session(page: Page, relay: FakeRelay) -> FakeSession:
    """A new terminal on the machine."""
    await sign_in(page, relay)
    await page.get_by_role("row", name=BOX.name).click()
    await page.get_by_role("button", name="New session").click()
    await expect(page.get_by_text("You have the keyboard")).to_be_visible()
    return relay.the_session


def screen(page: Page) -> str:
    """Where the shown terminal's text is."""
    return ".session-view:not([hidden]) .xterm-rows"


async def until(relay: FakeRelay, condition: object) -> None:
    """Wait until something that the page causes is true."""
    assert callable(condition)
    async with asyncio.timeout(10):
        while not condition():
            relay.changed.clear()
            await relay.changed.wait()


async def until_true(condition: Callable[[], object]) -> None:
    """Wait until something that no relay hears of is true."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the browser tells it to a callback
            await asyncio.sleep(0.01)


async def test_what_is_typed_reaches_the_shell_and_its_answer_the_screen(relay: FakeRelay, browser: Browser) -> None:
    async with person(browser) as context:
        page = await context.new_page()
        session = await open_session(page, relay)
        await page.keyboard.type("echo $((6*7))\n")
        await expect(page.locator(screen(page))).to_contain_text("42")
        assert session.typed == b"echo $((6*7))\r"


async def test_a_reload_brings_the_tabs_and_their_screens_back(relay: FakeRelay, browser: Browser) -> None:
    async with person(browser) as context:
        page = await context.new_page()
        await open_session(page, relay)
        await page.keyboard.type("echo $((6*7))\n")
        await expect(page.locator(screen(page))).to_contain_text("42")
        await page.reload()
        await expect(page.get_by_text("You have the keyboard")).to_be_visible()
        await expect(page.locator(screen(page))).to_contain_text("42")
        attached = [each for each in relay.heard if isinstance(each, Attach)]
        assert [each.after for each in attached] == [None, None]
        assert len({each.client for each in relay.heard if isinstance(each, BrowserHello)}) == 2


async def test_a_lost_node_is_replaced_by_another_and_only_the_missing_frames_come(
    relay: FakeRelay, browser: Browser
) -> None:
    async with person(browser) as context:
        page = await context.new_page()
        session = await open_session(page, relay)
        session.says(b"before\r\n")
        await expect(page.locator(screen(page))).to_contain_text("before")
        had = session.ring.head
        relay.dead.add("a")
        relay.drop(1012, "a")
        await until(relay, lambda: not relay.peers)
        session.says(b"between\r\n")
        await until(relay, lambda: any(peer.node == "b" for peer in relay.peers))
        await expect(page.get_by_text("You have the keyboard")).to_be_visible()
        session.says(b"after\r\n")
        await expect(page.locator(screen(page))).to_contain_text(re.compile("before *between *after"))
        attached = [each for each in relay.heard if isinstance(each, Attach)]
        assert attached[-1].after is not None
        assert attached[-1].after.sequence == had
        assert session.ring.head == had + 2, "nothing but the two lines was written: the terminal kept its size"
        assert "tickets" in [path for _, path, _ in relay.calls]


async def test_keys_typed_while_the_socket_is_away_are_applied_once(relay: FakeRelay, browser: Browser) -> None:
    async with person(browser) as context:
        page = await context.new_page()
        session = await open_session(page, relay)
        await page.keyboard.type("one ")
        await until(relay, lambda: session.typed == b"one ")
        relay.dead |= {"a", "b"}
        relay.drop(1012)
        await expect(page.get_by_text("Connecting to the session")).to_be_visible()
        await page.keyboard.type("two")
        relay.dead.clear()
        await until(relay, lambda: session.typed == b"one two")
        await expect(page.get_by_text("You have the keyboard")).to_be_visible()
        assert session.typed == b"one two"


async def test_a_gap_is_said_and_the_screen_drawn_anew(relay: FakeRelay, browser: Browser) -> None:
    relay.ring_bytes = 40_000
    async with person(browser) as context:
        page = await context.new_page()
        session = await open_session(page, relay)
        session.says(b"long ago\r\n")
        await expect(page.locator(screen(page))).to_contain_text("long ago")
        relay.dead |= {"a", "b"}
        relay.drop(1012)
        await until(relay, lambda: not relay.peers)
        for number in range(4):
            session.says(f"filler {number}\r\n".encode() + b"\x07" * 20_000)
        session.says(b"newest\r\n")
        relay.dead.clear()
        await expect(page.get_by_text("some of it is missing")).to_be_visible()
        await expect(page.locator(screen(page))).to_contain_text("newest")
        await expect(page.locator(screen(page))).to_contain_text("some output before this line is gone")
        await expect(page.locator(screen(page))).not_to_contain_text("long ago")
        await picture(page, "session-gap")


async def test_a_hole_in_the_stream_is_filled_by_attaching_again(relay: FakeRelay, browser: Browser) -> None:
    async with person(browser) as context:
        page = await context.new_page()
        session = await open_session(page, relay)
        session.says(b"first ")
        seats = session.seats
        session.seats = {}
        session.says(b"second ")  # a frame that the page does not get
        session.seats = seats
        session.says(b"third")
        await expect(page.locator(screen(page))).to_contain_text("first second third")
        await expect(page.get_by_text("You have the keyboard")).to_be_visible()


async def test_a_machine_that_returns_finds_its_session_still_open(relay: FakeRelay, browser: Browser) -> None:
    async with person(browser) as context:
        page = await context.new_page()
        session = await open_session(page, relay)
        relay.add(offline(BOX.name))
        for seat in list(session.seats.values()):
            seat.peer.say(Detached(session=session.id, attachment=seat.number, reason="machine-gone"))
        session.seats.clear()
        await expect(page.get_by_text("mac-studio is not connected.")).to_be_visible()
        session.says(b"meanwhile")
        relay.add(BOX)
        await expect(page.locator(screen(page))).to_contain_text("meanwhile")
        await expect(page.get_by_text("You have the keyboard")).to_be_visible()


async def test_the_page_reports_what_it_has_shown(relay: FakeRelay, browser: Browser) -> None:
    async with person(browser) as context:
        page = await context.new_page()
        session = await open_session(page, relay)
        session.says(b"x" * 1_000)
        await until(relay, lambda: session.seen == session.ring.head)


async def test_a_page_out_of_sight_does_not_hold_the_machine_up(relay: FakeRelay, browser: Browser) -> None:
    """Browsers slow the timers of hidden pages to one a minute; here they stop altogether."""
    async with person(browser) as context:
        page = await context.new_page()
        session = await open_session(page, relay)
        await until(relay, lambda: session.seen == session.ring.head)
        await page.evaluate(
            "() => { Object.defineProperty(document, 'hidden', {get: () => true}); window.setTimeout = () => 0 }"
        )
        for _ in range(32):
            session.says(b"x" * 32_000)
        await until(relay, lambda: session.seen >= session.ring.head - 2)


async def test_the_keyboard_passes_from_one_page_to_another(relay: FakeRelay, browser: Browser) -> None:
    async with person(browser) as one, person(browser) as two:
        first, second = await one.new_page(), await two.new_page()
        session = await open_session(first, relay)
        await sign_in(second, relay, f"#/session/{BOX.id}/{session.id}")
        await expect(second.get_by_text("Somebody else has the keyboard")).to_be_visible()
        await second.keyboard.type("lost")
        await second.get_by_role("button", name="Take the keyboard").click()
        await expect(second.get_by_text("You have the keyboard")).to_be_visible()
        await expect(first.get_by_text("Jane took the keyboard.")).to_be_visible()
        await second.keyboard.type("mine")
        await until(relay, lambda: session.typed == b"mine")


async def test_watching_sends_no_keys(relay: FakeRelay, browser: Browser) -> None:
    async with person(browser) as context:
        page = await context.new_page()
        session = await open_session(page, relay)
        await page.get_by_role("button", name="Only watch").click()
        await expect(page.get_by_text("Watching")).to_be_visible()
        await page.locator(".session-view:not([hidden]) .xterm-screen").click()
        await page.keyboard.type("nothing")
        await page.get_by_role("button", name="Join").click()
        await expect(page.get_by_text("You have the keyboard")).to_be_visible()
        await page.keyboard.type("x")
        await until(relay, lambda: session.typed == b"x")


async def test_the_end_of_a_session_is_shown_with_its_status(relay: FakeRelay, browser: Browser) -> None:
    async with person(browser) as context:
        page = await context.new_page()
        session = await open_session(page, relay)
        session.ends(b'{"code":3,"signal":null,"reason":null}')
        await expect(page.get_by_text("finished, exit 3")).to_be_visible()
        await page.get_by_role("button", name="Close tab", exact=True).click()
        await expect(page.get_by_label("Find a machine by name")).to_be_visible()


async def test_nothing_covers_the_last_lines_of_a_session_that_has_ended(relay: FakeRelay, browser: Browser) -> None:
    async with person(browser) as context:
        page = await context.new_page()
        session = await open_session(page, relay)
        for number in range(100):
            session.says(f"line {number}\r\n".encode())
        session.ends(b'{"code":0,"signal":null,"reason":null}')
        banner, last = page.locator(".session-view > .banner"), page.get_by_text("line 99", exact=True)
        await expect(banner).to_be_visible()
        await expect(last).to_be_visible()
        await picture(page, "session-ended")
        over, under = await last.bounding_box(), await banner.bounding_box()
        assert over is not None
        assert under is not None
        assert over["y"] + over["height"] <= under["y"]


async def test_calls_go_to_a_node_that_lives_when_the_one_that_served_the_page_is_gone(
    relay: FakeRelay, browser: Browser
) -> None:
    async with person(browser) as context:
        page = await context.new_page()
        await sign_in(page, relay)
        await page.route(f"{relay.nodes['a']}/api/**", lambda route: route.abort())
        relay.dead.add("a")
        relay.drop(1012, "a")
        await until(relay, lambda: any(peer.node == "b" for peer in relay.peers))
        await expect(page.get_by_text("Connected")).to_be_visible()
        await page.get_by_role("button", name="Account of Jane").click()
        await page.get_by_role("menuitem", name="Sign out").click()
        await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        assert ("POST", "sign-out", {}) in relay.calls


async def test_a_program_reaches_neither_clipboard_nor_title_nor_another_page(
    relay: FakeRelay, browser: Browser
) -> None:
    """Its output is its own; what it asks of the terminal around it is not done, or only after a question."""
    async with person(browser) as context:
        page = await context.new_page()
        asked: list[str] = []

        async def decline(dialog: Dialog) -> None:
            asked.append(dialog.message)
            await dialog.dismiss()

        page.on("dialog", decline)
        await context.grant_permissions(["clipboard-read", "clipboard-write"])
        session = await open_session(page, relay)
        await page.evaluate("navigator.clipboard.writeText('mine')")
        session.says(b"\x1b]52;c;ZXZpbA==\x07\x1b]52;c;?\x07\x1b[21t\x1b[14t\x1b[18t")
        session.says("\x1b]0;\u202etitle\x07".encode())
        session.says(b"\r\n\x1b]8;;javascript:document.title='x'\x07script\x1b]8;;\x07 ")
        session.says(b"\x1b]8;;http://127.0.0.1:9/elsewhere\x07https://bank.test\x1b]8;;\x07\r\n")
        await expect(page.locator(".tab-title")).to_have_text("title")
        for text in ("script", "https://bank.test"):
            place = page.locator(screen(page)).get_by_text(text, exact=True)
            await expect(place).to_be_visible()
            # In one look: the terminal draws a row anew as a whole, and a place that was found before is gone then.
            left, top = await place.evaluate("each => [each.getBoundingClientRect().x, each.getBoundingClientRect().y]")
            await page.mouse.move(left + 20, top + 5)
            await page.mouse.click(left + 22, top + 5)
        await until_true(lambda: asked)
        assert ["127.0.0.1:9/elsewhere" in question for question in asked] == [True]
        assert len(context.pages) == 1
        assert await page.evaluate("navigator.clipboard.readText()") == "mine"
        await page.keyboard.type("x")
        await until(relay, lambda: session.typed != b"")
        assert session.typed == b"x"


async def test_old_output_asks_the_terminal_nothing_again(relay: FakeRelay, browser: Browser) -> None:
    async with person(browser) as context:
        page = await context.new_page()
        session = await open_session(page, relay)
        session.says(b"\x1b[c")
        await until(relay, lambda: session.typed.startswith(b"\x1b[?"))
        session.typed = b""
        await page.reload()
        await expect(page.get_by_text("You have the keyboard")).to_be_visible()
        await page.keyboard.type("x")
        await until(relay, lambda: session.typed != b"")
        assert session.typed == b"x"


async def test_text_in_the_terminal_is_found(relay: FakeRelay, browser: Browser) -> None:
    async with person(browser) as context:
        page = await context.new_page()
        session = await open_session(page, relay)
        session.says(b"apple\r\npear\r\napple\r\n")
        await expect(page.locator(screen(page))).to_contain_text("pear")
        await page.keyboard.press("Control+Shift+F")
        await page.get_by_label("Find in the terminal").last.fill("apple")
        await expect(page.get_by_text("of 2")).to_be_visible()
        await page.keyboard.press("Escape")
        await page.keyboard.type("y")
        await until(relay, lambda: session.typed == b"y")


async def test_the_terminal_follows_the_window(relay: FakeRelay, browser: Browser) -> None:
    async with person(browser) as context:
        page = await context.new_page()
        session = await open_session(page, relay)
        await until(relay, lambda: session.size != (80, 24))
        wide = session.size
        await page.set_viewport_size({"width": 700, "height": 500})
        await until(relay, lambda: session.size[0] < wide[0] and session.size[1] < wide[1])


async def test_a_page_whose_cookie_was_renewed_in_another_tab_goes_on(relay: FakeRelay, browser: Browser) -> None:
    """The sign-in of before has ended, and with it this page's socket; the person is the same."""
    async with person(browser) as context:
        page = await context.new_page()
        await open_session(page, relay)
        relay.drop(4002)
        await until(relay, lambda: not relay.peers)
        await until(relay, lambda: relay.peers)
        await expect(page.get_by_text("You have the keyboard")).to_be_visible()


async def test_a_page_that_cannot_ask_whether_it_is_signed_in_keeps_its_tabs(
    relay: FakeRelay, browser: Browser
) -> None:
    """The node that knows its cookie is gone, and another one does not know it."""
    async with person(browser) as context:
        page = await context.new_page()
        await open_session(page, relay)
        await page.route("**/api/**", lambda route: route.abort())
        relay.drop(4002)
        await until(relay, lambda: not relay.peers)
        await until(relay, lambda: relay.peers)
        await expect(page.get_by_text("You have the keyboard")).to_be_visible()


async def test_a_signed_out_socket_leads_to_the_sign_in(relay: FakeRelay, browser: Browser) -> None:
    async with person(browser) as context:
        page = await context.new_page()
        await open_session(page, relay)
        await context.clear_cookies()
        relay.drop(4002)
        await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        await expect(page.get_by_text("You were signed out.")).to_be_visible()
