"""Shows that a socket does not outlive the token that opened it."""

from __future__ import annotations

import sqlite3
import time

from tests.support.bare import bare_browser
from tests.support.cluster import Cluster, Rest, Team
from tests.support.patience import within

LASTS_SECONDS = 3.0  # enough for a socket to be opened on a busy computer
LATE_SECONDS = 4.0  # a look every two seconds, and two busy cores


def shorten(cluster: Cluster, token: str, ends_at: float) -> None:
    """Have a token end at this moment: what is made by REST lasts for days."""
    path = cluster.database_url.partition(":///")[2]
    with sqlite3.connect(path, timeout=10.0) as database:
        done = database.execute("UPDATE credentials SET expires_ms = ? WHERE id = ?", (int(ends_at * 1000), token))
        assert done.rowcount == 1
    database.close()


def test_an_expired_token_closes_the_socket_that_it_opened_within_seconds(team: Team) -> None:
    made = team.owner("POST", "/api/tokens", {"name": "short", "expiresInDays": 1})
    ends_at = time.time() + LASTS_SECONDS
    shorten(team.cluster, made["id"], ends_at)
    with (
        bare_browser(team.cluster.urls[1], made["token"]) as brief,
        bare_browser(team.owner.url, team.owner.token) as on,
    ):
        assert brief.is_closed() == (4002, "bad-token")
        assert 0 <= time.time() - ends_at <= within(LATE_SECONDS)
        on.say(type="ping", at=1)
        on.hears("pong")
    Rest(team.cluster.urls[1], made["token"])("GET", "/api/me", status=401)
