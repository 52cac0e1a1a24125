"""Tells how an operator looks at the times of a cluster, and what is refused before anybody hears of it."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from relay.cli import run
from relay.errors import Conflict, Misconfigured
from relay.registry import Registry
from relay.rules import timing
from relay.rules.rhythm import Chosen
from relay.store import Keys, Lease, Leases, agree, connect
from relay.store.connection import ask
from relay.store.rhythm import LEAD_SECONDS, Follower
from tests.support.valkey import Valkey
from tests.support.valkey import _valkey as _valkey
from tests.support.valkey import valkey as valkey


@pytest.fixture
def database_url(valkey: Valkey, migrated_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The registry of a cluster whose operator this process is."""
    shutil.copy(migrated_file, tmp_path / "registry.db")
    url = f"sqlite+aiosqlite:///{tmp_path / 'registry.db'}"
    monkeypatch.setenv("RELAY_REDIS_URL", valkey.url)
    monkeypatch.setenv("RELAY_DATABASE_URL", url)
    return url


def shown(capsys: pytest.CaptureFixture[str]) -> dict[str, tuple[float, str]]:
    """Each time that can be changed, and whether somebody did."""
    capsys.readouterr()
    assert run(["admin", "timing", "show", "--json"]) == 0
    return {each["name"]: (each["value"], each["from"]) for each in json.loads(capsys.readouterr().out)["times"]}


@pytest.mark.usefixtures("database_url")
def test_a_choice_without_anybody_who_runs_holds_for_whoever_starts(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["admin", "timing", "set", "BEAT_SECONDS=5", "sweep_seconds=1"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said == [
        "nobody runs now; whoever starts keeps them",
        "BEAT_SECONDS is 5, and was 10",
        "SWEEP_SECONDS is 1, and was 2",
    ]
    assert run(["admin", "timing", "set", "BEAT_SECONDS=5"]) == 0
    assert capsys.readouterr().out == "these are the times already\n"
    assert shown(capsys)["BEAT_SECONDS"] == (5.0, "chosen")
    assert run(["admin", "timing", "set", "BEAT_SECONDS=default"]) == 0
    now = shown(capsys)
    assert (now["BEAT_SECONDS"], now["SWEEP_SECONDS"], now["OFFLINE_SECONDS"]) == (
        (10.0, "default"),
        (1.0, "chosen"),
        (90.0, "default"),
    )


@pytest.mark.usefixtures("database_url")
def test_the_times_are_shown_with_what_they_can_be(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["admin", "timing", "show"]) == 0
    said = capsys.readouterr().out
    assert "BEAT_SECONDS             10     default  1 to 10    between two beats of an agent, told to it in" in said
    assert "OFFLINE_SECONDS" not in said
    assert run(["admin", "timing", "show", "--all"]) == 0
    assert "OFFLINE_SECONDS          90      default  fixed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        (["OFFLINE_SECONDS=60"], 64, "OFFLINE_SECONDS cannot be changed in a cluster; these can: BEAT_SECONDS, "),
        (["BEAT_SECONDS=60"], 78, "BEAT_SECONDS=60 is not between 1 and 10: "),
        (["FLUSH_SECONDS=6", "BEAT_SECONDS=5"], 78, "and on the way they meet: change one after the other"),
    ],
)
@pytest.mark.usefixtures("database_url")
def test_what_contradicts_is_refused_and_nothing_is_changed(
    words: list[str], code: int, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["admin", "timing", "set", *words]) == code
    assert why in capsys.readouterr().err
    assert {origin for _, origin in shown(capsys).values()} == {"default"}


@pytest.mark.usefixtures("database_url")
def test_a_node_that_would_not_follow_is_named_and_nothing_is_changed(
    valkey: Valkey, capsys: pytest.CaptureFixture[str]
) -> None:
    """A node of a version that knows of no choice says nothing of one in its lease."""

    async def old_node() -> None:
        redis = connect(valkey.url)
        await Leases(redis, Keys("relay")).renew(Lease("0ldnode", "http://n1", 1))
        await redis.aclose()

    asyncio.run(old_node())
    assert run(["admin", "timing", "set", "BEAT_SECONDS=5"]) == 1
    assert "a version that cannot change its times while it runs: http://n1 (0ldnode)" in capsys.readouterr().err
    assert shown(capsys)["BEAT_SECONDS"] == (10.0, "default")


async def test_of_two_operators_who_choose_at_once_one_is_told_to_look_again(database_url: str) -> None:
    registry = await Registry.open(database_url)
    before = await registry.rhythms.latest()
    await registry.rhythms.choose(before, {"BEAT_SECONDS": 5.0}, 0, 0)
    with pytest.raises(Conflict, match="somebody else changed the times a moment ago"):
        await registry.rhythms.choose(before, {"BEAT_SECONDS": 6.0}, 0, 0)
    assert (await registry.rhythms.latest()).values == {"BEAT_SECONDS": 5.0}
    await registry.close()


async def test_what_was_chosen_is_no_disagreement_and_neither_is_what_is_chosen_no_more(
    valkey: Valkey, keys: Keys
) -> None:
    redis = connect(valkey.url)
    await agree(redis, keys, timing.agreed())
    await agree(redis, keys, timing.agreed(), {"BEAT_SECONDS": 5.0})
    assert await ask(redis, "HGET", keys.agreement, "BEAT_SECONDS") == "5.0", "which an older version compares with"
    with pytest.raises(Misconfigured, match="LIVE_SECONDS is 31 here and 30 in the cluster that is running"):
        await agree(redis, keys, timing.agreed() | {"LIVE_SECONDS": 31.0}, {"BEAT_SECONDS": 5.0})
    await agree(redis, keys, timing.agreed())  # an older backup was restored
    assert await ask(redis, "HGET", keys.agreement, "BEAT_SECONDS") == "10.0"
    with pytest.raises(Misconfigured, match="BEAT_SECONDS is 9 here and 10 in the cluster that is running"):
        await agree(redis, keys, {"BEAT_SECONDS": 9.0})
    await redis.aclose()


async def test_a_choice_is_kept_at_its_moment_and_at_once_when_nobody_knows_what_time_it_is(
    valkey: Valkey, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr("relay.store.rhythm.asyncio.sleep", sleep)
    kept: list[Chosen] = []
    chosen = Chosen(revision=1, from_ms=1 << 52, values={"BEAT_SECONDS": 5.0})

    async def latest() -> Chosen:
        return chosen

    redis = connect(valkey.url)
    follower = Follower(redis, keys, latest, kept.append, Chosen())
    await follower.look()
    await follower.look()
    assert (kept, waited) == ([Chosen(), chosen], [LEAD_SECONDS]), "no longer, also by a clock that jumped"

    chosen = Chosen(revision=2, from_ms=0)
    await follower.look()
    assert (kept[-1], waited[-1]) == (chosen, 0.0), "its moment is over: this process was away"
    await redis.aclose()

    away = connect("redis://127.0.0.1:1")
    chosen = Chosen(revision=3, from_ms=1 << 52)
    follower = Follower(away, keys, latest, kept.append, Chosen())
    with pytest.raises(Exception, match="does not answer"):
        await follower.look()
    assert (kept[-1], waited[-1]) == (chosen, 0.0)
    await away.aclose()
