"""Looks at the report of a real run in a browser: readable on a phone and in the dark, usable by everybody."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from axe_playwright_python.base import AXE_FILE_PATH  # type: ignore[import-untyped]
from playwright.async_api import Browser

from loadtests.model.costs import RESULTS
from loadtests.report.page import page
from loadtests.report.summary import concluded, read
from loadtests.report.thresholds import judge, thresholds
from tests.support.browser import browser, person, picture

__all__ = ["browser"]
pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("browser")]

# Any two labels of one picture that lie over each other, by where they stand, how large they are and how many letters
# they have: as drawn they are as wide as whatever font this machine has.
WIDE_LETTER = 0.6  # of its height: digits of a wide font such as DejaVu Sans; most have 0.5 to 0.56
BOXES = f"""
  const size = (text) => parseFloat(getComputedStyle(text).fontSize) * text.getScreenCTM().a;
  const box = (text) => {{
    const length = text.textContent.length * {WIDE_LETTER} * size(text);
    const at = new DOMPoint(text.getAttribute('x'), text.getAttribute('y')).matrixTransform(text.getScreenCTM());
    const before = {{start: 0, middle: length / 2, end: length}}[text.getAttribute('text-anchor') || 'start'];
    return {{left: at.x - before, right: at.x - before + length, top: at.y - size(text), bottom: at.y}};
  }};
"""
OVERLAPS = f"""
() => {{{BOXES}
  return [...document.querySelectorAll('figure svg')].flatMap((svg) => {{
    const boxes = [...svg.querySelectorAll('text')].map((text) => [text.textContent, box(text)]);
    const meets = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
    return boxes.flatMap(([one, a], index) =>
      boxes.slice(index + 1).filter(([, b]) => meets(a, b)).map(([two]) => `${{one}} / ${{two}}`));
  }});
}}
"""
SMALLEST = f"() => {{{BOXES} return Math.min(...[...document.querySelectorAll('figure svg text')].map(size)); }}"
# Whatever is wider than the window.
BEYOND = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
LETTER_PIXELS = 7  # the least size of a label on a phone


@pytest.fixture
def report(tmp_path: Path) -> Path:
    """A run that was measured, judged so that something holds and something does not."""
    run = read(RESULTS / "model" / "fanout.json")
    run = msgspec.structs.replace(run, violations=[], notes=["Judged by thresholds that are made up."])
    given = thresholds(["delivery.p99 < 250ms", "servers.rss_max < 50MiB", "totals.lost == 0"], [], run.latencies)
    path = tmp_path / "report.html"
    path.write_text(page(concluded(run, judge(given, run))), encoding="utf-8")
    return path


@pytest.mark.parametrize(("dark", "narrow"), [(False, False), (True, True)])
async def test_a_report_can_be_read_by_everybody_on_any_screen(
    browser: Browser, report: Path, dark: bool, narrow: bool
) -> None:
    async with person(browser, dark=dark, narrow=narrow) as context:
        shown = await context.new_page()
        await shown.goto(report.as_uri())
        name = f"report-{'dark-narrow' if dark else 'light-wide'}"
        await picture(shown, name)
        assert await shown.evaluate(OVERLAPS) == []
        assert await shown.evaluate(BEYOND) <= 0
        assert await shown.evaluate(SMALLEST) >= LETTER_PIXELS
        assert await shown.locator("details[open]").count() == 0  # the values stand behind the pictures
        # Thousands of values in tables like the others, in which axe would find nothing new.
        await shown.evaluate("document.querySelectorAll('details .table').forEach((table) => table.remove())")
        await shown.evaluate(AXE_FILE_PATH.read_text())
        rules = "" if narrow else ", runOnly: ['color-contrast']"  # the rest is the same in any color
        found = await shown.evaluate(f"axe.run(document, {{resultTypes: ['violations']{rules}}})")
        assert [(each["id"], [node["html"][:200] for node in each["nodes"]]) for each in found["violations"]] == []
