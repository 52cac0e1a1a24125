"""Shows that whatever is installed is what was locked, and that a hole in a lock would be noticed."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


def load() -> ModuleType:
    """The script, which is no part of the package."""
    spec = spec_from_file_location("dependencies", ROOT / "deploy" / "dependencies.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


dependencies = load()


def test_every_lock_pins_every_package_by_hash_and_all_licences_are_free() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "deploy" / "dependencies.py"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "starlette" in done.stdout
    assert "@xterm/xterm" in done.stdout


def test_what_is_installed_is_held_to_its_lock() -> None:
    """Without this a lock is a wish."""
    script = (ROOT / "deploy" / "environment").read_text()
    installs = [line for line in script.splitlines() if "pip install" in line and "--target" not in line]
    assert len(installs) == 3
    for line in installs:
        assert "--require-hashes" in line or "--no-deps --no-build-isolation --editable ." in line, line
    assert "npm" in (ROOT / "deploy" / "build_ui.py").read_text()
    assert '"ci"' in (ROOT / "deploy" / "build_ui.py").read_text(), "npm install would take newer versions"


@pytest.mark.parametrize(
    ("lock", "found"),
    [
        ("a==1 \\\n    --hash=sha256:00\nb==2 \\\n    --hash=sha256:00", []),
        ("a==1 \\\n    --hash=sha256:00\nb==2", ["b==2"]),
        ("a>=1 \\\n    --hash=sha256:00", ["a>=1"]),
        ("a @ https://evil.test/a.whl \\\n    --hash=sha256:00", ["a"]),
        ("a==1 --hash=md5:00", ["a==1"]),
    ],
)
def test_a_requirement_without_a_hash_is_found(lock: str, found: list[str]) -> None:
    assert dependencies.unhashed(lock) == found


def test_a_package_of_the_page_without_its_hash_or_from_elsewhere_is_found() -> None:
    packages = {
        "": {"license": "MIT"},
        "node_modules/good": {"integrity": "sha512-x"},
        "node_modules/weak": {"integrity": "sha1-x"},
        "node_modules/bare": {},
        "node_modules/elsewhere": {"integrity": "sha512-x", "resolved": "https://evil.test/x.tgz"},
    }
    found = dependencies.without_integrity(json.dumps({"packages": packages}))
    assert found == ["node_modules/weak", "node_modules/bare", "node_modules/elsewhere"]
