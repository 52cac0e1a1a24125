"""Shows that the first command of a cluster founds it, and prints a link that signs its owner in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.cluster import SECRET, clean_environment

URL = "https://relay.test"


def test_bootstrap_founds_a_cluster_and_prints_a_link_alone_on_its_standard_output(tmp_path: Path) -> None:
    own = {"RELAY_DATABASE_URL": f"sqlite+aiosqlite:///{tmp_path}/relay.db", "RELAY_SECRET": SECRET}
    own |= {"RELAY_REDIS_URL": f"unix://{tmp_path}/none", "RELAY_PUBLIC_URL": URL}
    words = ["admin", "bootstrap", "--workspace", "acme", "--owner", "Olga"]
    done = subprocess.run(
        [sys.executable, "-m", "relay.cli", *words],
        env=clean_environment() | own,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(f"{URL}/#sign-in=rly_link_")
    assert len(done.stdout.split()) == 1
    assert done.stderr == "workspace acme, owner Olga\n"
