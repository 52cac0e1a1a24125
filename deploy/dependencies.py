"""Says what this project is built from: that every lock pins by hash, and under which licences the parts come."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON_LOCKS = ("requirements.lock", "tests/requirements.lock", "deploy/node.lock")
PAGE_LOCKS = ("relay/ui/package-lock.json", "loadtests/compare/socketio_server/package-lock.json")
# What may be used by a program under MIT, and shipped beside it, without asking anybody.
FREE = re.compile(r"MIT|BSD|Apache|ISC|PSF|Python|MPL|Mozilla|Unlicense|Zlib|0BSD|CC0", re.IGNORECASE)
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)")


def unhashed(text: str) -> list[str]:
    """The requirements of a lock that do not name one version and at least one hash of it."""
    entries = re.split(r"\n(?=\S)", text.strip().replace("\\\n", " "))
    return [entry.split()[0] for entry in entries if not (_PIN.match(entry) and "--hash=sha256:" in entry)]


def without_integrity(text: str) -> list[str]:
    """The packages of a package-lock.json that are not pinned by SHA-512, or come from an address of their own."""
    packages: dict[str, dict[str, str]] = json.loads(text)["packages"]
    return [
        path
        for path, each in packages.items()
        if path and (not each.get("integrity", "").startswith("sha512-") or "resolved" in each)
    ]


def licences(lock: str) -> Iterator[tuple[str, str]]:
    """Each package of a lock that is installed here, and its licence."""
    for line in lock.splitlines():
        pin = _PIN.match(line)
        if pin is None:
            continue
        try:
            yield pin[1], licence(distribution(pin[1]))
        except PackageNotFoundError:
            continue  # for another system or Python


def licence(package: Distribution) -> str:
    """What a package says of itself, in the newest of the three places where it may."""
    metadata = package.metadata
    said = metadata.get("License-Expression") or (metadata.get("License") or "").partition("\n")[0]
    classes = [each.rpartition(" :: ")[2] for each in metadata.get_all("Classifier") or [] if "License ::" in each]
    return str(said or "; ".join(classes) or "unknown")


def main() -> int:
    """Print the licences and whatever is wrong; 1 if something is."""
    wrong = [f"{lock}: {name} is not hashed" for lock in PYTHON_LOCKS for name in unhashed((ROOT / lock).read_text())]
    wrong += [f"{lock}: {name}" for lock in PAGE_LOCKS for name in without_integrity((ROOT / lock).read_text())]
    found = dict(licences((ROOT / PYTHON_LOCKS[0]).read_text()))
    packages = json.loads((ROOT / PAGE_LOCKS[0]).read_text())["packages"]
    found |= {path.removeprefix("node_modules/"): each["license"] for path, each in packages.items() if path}
    for name, terms in sorted(found.items()):
        print(f"{name:32} {terms}")  # noqa: T201
        if not FREE.search(terms):
            wrong.append(f"{name}: {terms} is for somebody to look at")
    for line in wrong:
        print(f"relay: {line}", file=sys.stderr)  # noqa: T201
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
