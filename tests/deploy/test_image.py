"""Shows what can be shown of the image without building one: what goes in, from where, and who it runs as."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.deploy.balanced import Balanced
from tests.deploy.grace import VARIABLES
from tests.deploy.proxies import program
from tests.support.cluster import START_SECONDS
from tests.support.ports import free_ports

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
NEEDED = ("pyproject.toml", "README.md", "LICENSE", "deploy/build_ui.py", "relay/__init__.py", "workers/__init__.py")
UNWANTED = (".git/config", "tests/run", ".venv/bin/python", "deploy/compose/secrets/relay_secret", "relay/ui/dist/x.js")


def instructions() -> list[tuple[str, str]]:
    """Every instruction and what it is given, in order, lines that go on put together."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if line.strip() and not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines())]


def given(name: str) -> list[str]:
    """What all instructions of this name are given."""
    return [rest for word, rest in instructions() if word == name]


def gets_in(path: str) -> bool:
    """Whether .dockerignore lets a file of the checkout into the build: the last line that fits it decides."""
    inside = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!").removeprefix("**/")
        if not line or line.startswith("#"):
            continue
        parts = path.split("/")
        beginnings = ["/".join(parts[:length]) for length in range(1, len(parts) + 1)]
        names = parts if "**/" in line else beginnings
        if any(fnmatch(name, pattern) and (pattern != "*" or name == parts[0]) for name in names):
            inside = line.startswith("!")
    return inside


def test_the_linter_has_nothing_to_say() -> None:
    done = subprocess.run([program("hadolint"), str(DOCKERFILE)], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_all_that_is_copied_is_there_and_nothing_else_gets_in() -> None:
    copied = [words.split()[:-1] for words in given("COPY") if "--from" not in words]
    for source in (source for sources in copied for source in sources if source != "."):
        assert (ROOT / source).is_file()
        assert gets_in(source), source
    assert [path for path in NEEDED if not gets_in(path)] == []
    assert [path for path in UNWANTED if gets_in(path)] == []


def test_everything_is_installed_from_locks_with_hashes_or_was_built_right_there() -> None:
    installs = re.findall(r"pip (?:install|wheel) ([^&]*)", " && ".join(given("RUN")))
    assert len(installs) == 4
    for words in installs:
        if "--require-hashes" in words:
            lock = re.search(r"--requirement (\S+)", words)
            assert lock is not None
            assert "--hash=sha256:" in (ROOT / lock[1]).read_text()
        else:
            assert "--no-deps" in words
            assert "--no-index" in words or "--no-build-isolation" in words


def test_it_runs_as_nobody_in_particular_and_gets_its_signals() -> None:
    assert given("USER") == ["10001:10001"]
    assert given("STOPSIGNAL") == ["SIGTERM"]
    assert json.loads(given("ENTRYPOINT")[0]) == ["relay"]  # with a shell before it, no signal would arrive
    assert json.loads(given("CMD")[0]) == ["node"]


def test_it_sets_only_what_a_node_knows_and_no_secret() -> None:
    words = " ".join(given("ENV") + given("ARG"))
    named = set(re.findall(r"\bRELAY_\w+", words))
    assert named <= VARIABLES
    assert named == {"RELAY_HOST", "RELAY_PORT", "RELAY_METRICS_PORT"}


@pytest.mark.xdist_group("deploy")
def test_its_health_check_passes_a_node_that_runs_and_fails_without_one(balanced: Balanced) -> None:
    check = json.loads(given("HEALTHCHECK")[0].partition("CMD ")[2])
    assert check[0] == "python"
    here, nowhere = balanced.urls[1].rpartition(":")[2], str(free_ports(1)[0])
    give_up = time.monotonic() + START_SECONDS
    while (done := checked(check, here)).returncode != 0:  # as whoever asks does: once is not enough for a busy node
        assert time.monotonic() < give_up, done.stderr
    assert checked(check, nowhere).returncode != 0


def checked(check: list[str], port: str) -> subprocess.CompletedProcess[bytes]:
    """The health check's verdict on what listens there, with this Python in the place of the image's."""
    return subprocess.run([sys.executable, *check[1:]], env={"RELAY_PORT": port}, capture_output=True)
