"""Starts Chromium for tests of the page; says plainly when there is none, and fails for it where CI must have one."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, ViewportSize, async_playwright

ARTEFACTS = Path(__file__).resolve().parent.parent / "artefacts"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
ANSWER_MS = 10_000  # a page that has not shown something by then does not show it
WIDE: ViewportSize = {"width": 1280, "height": 800}
NARROW: ViewportSize = {"width": 390, "height": 844}


def find_chromium() -> str | None:
    """The machine's own browser: `RELAY_CHROMIUM`, or the first by a usual name."""
    chosen = os.environ.get("RELAY_CHROMIUM")
    return chosen or next((path for name in NAMES if (path := shutil.which(name))), None)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A running Chromium; skips the test where there is none, and fails it there if `CI=true`."""
    path = find_chromium()
    if path is None:
        reason = f"no browser on this machine: none of {', '.join(NAMES)} is on the PATH (RELAY_CHROMIUM names another)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            yield browser
        finally:
            await browser.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One Chromium for all tests that run in the session's loop: mark those `asyncio(loop_scope="session")`."""
    async with chromium() as running:
        yield running


@asynccontextmanager
async def person(browser: Browser, *, dark: bool = False, narrow: bool = False) -> AsyncIterator[BrowserContext]:
    """A browser of its own for one person: no cookies, and complaints of the page as failures of the test."""
    context = await browser.new_context(
        viewport=NARROW if narrow else WIDE,
        has_touch=narrow,
        is_mobile=narrow,
        color_scheme="dark" if dark else "light",
        reduced_motion="reduce",
        locale="en-GB",
    )
    context.set_default_timeout(ANSWER_MS)
    complaints: list[str] = []
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    context.on("console", lambda said: complaints.append(said.text) if _is_complaint(said.type, said.text) else None)
    try:
        yield context
    finally:
        await context.close()
    assert not complaints, f"the page complained: {complaints}"


async def picture(page: Page, name: str) -> Path:
    """A screenshot kept as a test artefact."""
    ARTEFACTS.mkdir(exist_ok=True)
    path = ARTEFACTS / f"{name}.png"
    await page.screenshot(path=path)
    return path


def _is_complaint(kind: str, text: str) -> bool:
    """Errors, but not those that a browser writes for every answer of 400 and up and every socket that it loses."""
    expected = ("Failed to load resource", "WebSocket connection to", "net::ERR_")
    return kind == "error" and not any(part in text for part in expected)
