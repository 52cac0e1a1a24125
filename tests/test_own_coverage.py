import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_every_rules_file_is_covered_by_the_test_file_of_its_own_name() -> None:
    """Runs in a process of its own, because a file's first lines are covered only by whoever imports it first."""
    run = subprocess.run([sys.executable, "-m", "tests.rules.own_coverage"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
