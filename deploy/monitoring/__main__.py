"""Commands the files of this folder: `python -m deploy.monitoring [--check]`."""

from __future__ import annotations

import sys

from deploy.monitoring.files import outdated, write


def main(arguments: list[str]) -> int:
    """Write what is outdated; or only name it, and fail if there is any."""
    if arguments not in ([], ["--check"]):
        print("relay: usage: python -m deploy.monitoring [--check]", file=sys.stderr)  # noqa: T201
        return 64
    names = outdated() if arguments else write()
    for name in names:
        print(f"{'outdated' if arguments else 'written'}: deploy/monitoring/{name}")  # noqa: T201
    return 1 if arguments and names else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
