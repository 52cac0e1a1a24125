"""Measures how far each rules file is covered by the test file of its own name.

Run as `python -m tests.rules.own_coverage`. All test files run once in one process, each under a context of its own,
without their property tests. What runs at import counts for everybody.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

import coverage

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
SOURCES = sorted([*(ROOT / "relay" / "rules").glob("*.py"), ROOT / "relay" / "errors.py"])


def test_file(source: Path) -> Path:
    """The test file that must cover a source file by itself."""
    return HERE / f"test_{source.stem}.py"


def measure(measured: coverage.Coverage) -> int:
    """Run the test files, telling the measurement which one is running; the exit code of pytest."""
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # rules need none, and some take seconds to import
    import pytest

    class Contexts:
        def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
            # What chance covers today it may leave out tomorrow, and under measurement it is slow.
            items[:] = [item for item in items if not hasattr(getattr(item, "obj", None), "hypothesis")]

        def pytest_runtest_logstart(self, nodeid: str) -> None:
            measured.switch_context(Path(nodeid.partition("::")[0]).stem)

    files = [str(file) for file in map(test_file, SOURCES) if file.exists()]
    options = ["-q", "-c", str(HERE / "own_coverage.ini"), "--rootdir", str(ROOT), "-p", "no:cacheprovider"]
    return int(pytest.main([*options, *files], plugins=[Contexts()]))


def missing(measured: coverage.Coverage, source: Path, folder: Path) -> list[str]:
    """What the own test file leaves out of a source file: lines, and branches as `from->to`."""
    report = folder / f"{source.stem}.json"
    measured.json_report(morfs=[str(source)], outfile=str(report), contexts=[f"^{test_file(source).stem}$", "^$"])
    found = json.loads(report.read_text())["files"]
    (file,) = found.values()
    return [str(line) for line in file["missing_lines"]] + [f"{a}->{b}" for a, b in file["missing_branches"]]


def main() -> int:
    """Print one line per file that its own tests do not cover; 0 if there is none."""
    measured = coverage.Coverage(
        branch=True, data_file=None, config_file=False, include=[str(source) for source in SOURCES]
    )
    measured.start()
    failed = measure(measured)
    measured.stop()
    with tempfile.TemporaryDirectory() as folder:
        left = {source: missing(measured, source, Path(folder)) for source in SOURCES}
    for source, lines in left.items():
        if lines:
            print(f"{source.relative_to(ROOT)} is not covered by {test_file(source).name}: {', '.join(lines)}")
    return failed or int(any(left.values()))


if __name__ == "__main__":
    sys.exit(main())
