"""Shows that programs can read a node's log and join its lines, and that limits are counted under their names."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from relay.logs import configure_logs
from relay.rules.metrics import LIMIT
from relay.settings import Settings

ROOT = Path(__file__).parents[2]
COUNTED = re.compile(r'limited\(\s*"([A-Z_]+)"')
RAISED = re.compile(r'limit="([A-Z_]+)"')


@pytest.fixture
def _logs_of_a_node() -> Iterator[None]:
    """As a node writes them; nothing of it stays."""
    handlers, level = logging.getLogger().handlers[:], logging.getLogger().level
    structlog.contextvars.clear_contextvars()
    configure_logs(Settings(redis_url="redis://127.0.0.1", database_url="sqlite+aiosqlite:////tmp/none.db"))
    yield
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()
    logging.getLogger().handlers[:] = handlers
    logging.getLogger().setLevel(level)


@pytest.mark.usefixtures("_logs_of_a_node")
def test_every_line_is_an_object_that_names_its_node(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(Settings(redis_url="redis://127.0.0.1", database_url="sqlite+aiosqlite:////tmp/none.db"))
    structlog.contextvars.bind_contextvars(node="boot-of-a")
    structlog.get_logger().info("an agent joined", machine="m", workspace="w", connection="c")
    structlog.get_logger().warning("a line\nof two lines", connection="c")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["node"] for line in lines] == ["boot-of-a", "boot-of-a"]
    assert [line["connection"] for line in lines] == ["c", "c"]
    assert lines[0]["event"] == "an agent joined"
    assert {"level", "timestamp", "machine", "workspace"} <= lines[0].keys()


def test_every_limit_that_a_node_counts_has_its_own_name_among_the_metrics() -> None:
    named = set()
    for folder, patterns in (("node", (COUNTED, RAISED)), ("web", (COUNTED,)), ("store", (COUNTED, RAISED))):
        for path in (ROOT / "relay" / folder).glob("*.py"):
            text = path.read_text(encoding="utf-8")
            named |= {name for pattern in patterns for name in pattern.findall(text)}
    assert len(named) > 8
    assert named <= set(LIMIT.values)
