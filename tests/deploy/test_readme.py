"""Shows that the page for operators names what there is."""

from __future__ import annotations

import re
from pathlib import Path

from tests.deploy.grace import AFTER_SECONDS, VARIABLES

DEPLOY = Path(__file__).parents[2] / "deploy"
PAGE = (DEPLOY / "README.md").read_text()


def test_every_file_in_its_table_and_every_link_is_there() -> None:
    table = PAGE.partition("## What is here")[2].partition("\n## ")[0]
    named = [
        name for row in re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE) for name in re.findall(r"`([^`]+)`", row)
    ]
    linked = re.findall(r"\]\(([^)#]+)\)", PAGE)
    assert len(named) > 8
    assert [name for name in (*named, *linked) if not (DEPLOY / name).exists()] == []


def test_every_folder_and_script_is_in_its_table() -> None:
    there = {path.name for path in DEPLOY.iterdir() if path.is_dir() or not path.suffix} - {
        "__pycache__",
        "environment",
    }
    assert [name for name in there if f"`{name}" not in PAGE] == []


def test_every_unit_that_is_installed_is_also_started() -> None:
    installed = re.findall(r"deploy/systemd/(\S+)\.service", PAGE)
    started = re.findall(r"systemctl enable --now [^\n]+", PAGE)
    assert set(installed) == {"relay-node", "relay-sweeper"}
    assert [unit for unit in installed if not any(re.search(rf"\b{unit}\b", line) for line in started)] == []


def test_it_names_only_variables_that_a_node_knows() -> None:
    assert set(re.findall(r"\bRELAY_[A-Z_]*[A-Z]\b", PAGE)) <= VARIABLES | {"RELAY_URL", "RELAY_TOKEN"}  # of machines


def test_it_says_how_long_a_node_may_take_after_its_drain() -> None:
    assert f"at the most {AFTER_SECONDS:.0f} s later" in PAGE
