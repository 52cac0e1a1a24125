"""Runs the page's own unit tests with Node, fed with what Python's codec and resolver say, and checks its types."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest

from relay.rules import frames, ids
from relay.rules.frames import Header, Kind
from relay.rules.resolver import Candidate, matches
from tests.ui.building import ROOT, build_ui

pytestmark = pytest.mark.xdist_group("browser")  # one at a time: they share what npm installs

UI = ROOT / "relay" / "ui"
NAMES = ["prod-api-1", "Straße", "ÉCLAIR", "mac-studio", "a", "8f23", "İstanbul", "node.local", "x-8f23c1d2"]
HOSTNAMES = ["prod-api-1", "mac-studio.local", "MAC-STUDIO.LOCAL.", "e\u0301clair.example.org", ".local", "strasse"]
QUERIES = [
    "", " ", "p", "a", "pr", "PROD-API-1", "api", "strasse", "STRASSE", "éclair", "e\u0301clair", "mac-studio",
    "mac-studio.", "mac-studio.local", "mac-studio.local.", "local", ".local", "8f2", "8f23", "8F23C1", "8f23c1d2-",
    "8f23c1d2-0000-4000-8000-000000000001", "8F23C1D2-0000-4000-8000-000000000001", "nowhere", "é", "is", "x-8f",
]  # fmt: skip


Node = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def run_node(built_page: None) -> Node:
    """Runs a script of relay/ui with the Node that builds the page, after fetching what only tests need."""
    if not all((UI / "node_modules" / name).is_dir() for name in ("prettier", "typescript")):
        build_ui.install_all()
    node, _ = build_ui.find_node()

    def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(node), *words], cwd=UI, env=os.environ | environment, capture_output=True, text=True, check=False
        )

    return run


def vectors() -> dict[str, object]:
    """Frames as Python packs them, and queries as Python's resolver answers them."""
    session = uuid.UUID("8f23c1d2-0000-4000-8000-000000000001")
    packed = []
    for kind, sequence, payload in product((Kind.OUTPUT, Kind.INPUT, Kind.SEEN), (0, 1, 2**32 - 1, 2**32, 2**53 - 1),
                                           (b"", b"\x00\xff text")):  # fmt: skip
        for flags, attachment, epoch in ((0, 0, 0), (1, 1, 1_700_000_000), (0, 65_535, 2**32 - 1)):
            header = Header(kind, flags, attachment, epoch, session.bytes, sequence)
            packed.append(
                header._asdict()
                | {"session": str(session), "payload": payload.hex(), "frame": frames.pack(header, payload).hex()}
            )
    searches = []
    machine = ids.canonical("8f23c1d2-0000-4000-8000-000000000001") or ""
    for query, name, hostname, held in product(QUERIES, NAMES, HOSTNAMES, (True, False)):
        found = matches(query, Candidate(machine, name, hostname, held))
        searches.append(
            {"query": query, "id": machine, "name": name, "hostname": hostname, "held": held, "matches": found}
        )
    return {"frames": packed, "searches": searches}


def test_the_pages_own_tests_pass_with_pythons_frames_and_searches(run_node: Node, tmp_path: Path) -> None:
    path = tmp_path / "vectors.json"
    path.write_text(json.dumps(vectors()))
    done = run_node("test.mjs", RELAY_VECTORS=str(path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped 0" in done.stdout


def test_the_pages_types_are_right(run_node: Node) -> None:
    done = run_node("node_modules/typescript/bin/tsc", "--noEmit")
    assert done.returncode == 0, done.stdout


def test_the_pages_sources_are_formatted(run_node: Node) -> None:
    done = run_node("node_modules/prettier/bin/prettier.cjs", "--check", ".")
    assert done.returncode == 0, done.stdout + done.stderr
