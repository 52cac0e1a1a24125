"""Holds the capacity model to its measurements, to arithmetic anyone can check, and to the table that people read."""

from __future__ import annotations

import asyncio
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtests.model import command, table
from loadtests.model.costs import BENCH, RESULTS, Cost, read
from loadtests.model.fleet import Fleet, Impossible
from loadtests.model.measuring import Round, merged
from loadtests.model.points import Point, check, predict
from loadtests.model.sizing import size, steady
from loadtests.model.walls import walls
from loadtests.model.work import Counts, cores, distinct, nodes_used

README = Path(__file__).parents[2] / "README.md"
COSTS = read()
FLEETS = st.builds(
    Fleet,
    machines=st.integers(1, 3_000_000),
    browsers=st.integers(0, 300_000),
    zones=st.integers(1, 5),
    headroom=st.sampled_from([0.2, 0.5, 0.7]),
    workspace_machines=st.integers(1, 10_000),
)


def run(*words: str) -> int:
    """What the command line answers with."""
    return asyncio.run(command.run(command.arguments(words)))


def test_every_cost_names_measurements_that_are_committed() -> None:
    rows = {row["name"] for row in json.loads((RESULTS / BENCH).read_text())["rows"]}
    own = json.loads((RESULTS / "model" / "costs.json").read_text())["costs"].keys()
    for name, cost in COSTS.items():
        assert cost.value >= 0, name
        if name == "speed":
            continue  # of the machine, not of a row
        for part in cost.source.split("; "):
            file, _, named = part.partition(": ")
            known = rows if file == "bench.json" else own
            assert set(named.removeprefix("the same and ").split(", ")) - {"the same"} <= known, cost.source


def test_a_frame_costs_what_the_benchmark_saw_for_each_of_its_shapes() -> None:
    rows = {row["name"]: row["found"]["relay"]["median"] for row in json.loads((RESULTS / BENCH).read_text())["rows"]}
    for name, receivers in (("one-to-50", 50), ("hundred-by-3", 3)):
        used = Counts(incoming=1, delivered=receivers).node_us(COSTS)
        assert used / receivers == pytest.approx(1e6 / rows[name])
    counts = Counts(incoming=1, delivered=4, crossed=1)
    assert (counts.node_us(COSTS) + counts.redis_us(COSTS)) / 4 == pytest.approx(1e6 / rows["two-nodes-50-by-4"])


def test_predictions_are_within_a_factor_of_two_of_what_was_measured_elsewhere() -> None:
    checked = check(COSTS, RESULTS)
    assert len({one.point.name.partition("-")[0] for one in checked}) >= 3
    assert {one.point.what: one.error for one in checked if not -0.5 < one.error < 1.0} == {}


@pytest.mark.parametrize("name", ["production", "storm", "deploy"])
def test_nodes_of_the_runs_that_people_read_about_are_predicted_within_a_quarter(name: str) -> None:
    found = {one.point.name: one.error for one in check(COSTS, RESULTS)}
    assert abs(found[f"{name}-nodes"]) <= 0.25


def test_a_run_of_a_slow_moment_is_told_in_the_seconds_of_that_moment() -> None:
    (point, *_) = [one.point for one in check(COSTS, RESULTS) if one.point.name == "production-nodes"]
    slow = point._replace(inputs={**point.inputs, "speed": COSTS["speed"].value / 2})
    as_measured = point._replace(inputs={**point.inputs, "speed": COSTS["speed"].value})
    assert predict(slow, COSTS) == pytest.approx(2 * predict(as_measured, COSTS))


def test_each_round_of_measurements_is_told_at_the_same_speed_and_the_middle_of_all_counts() -> None:
    def one(value: float, speed: float) -> Round:
        costs = {
            "a": {"value": value, "unit": "µs a second", "what": "time"},
            "b": {"value": value, "unit": "bytes", "what": "no time"},
        }
        return Round(costs, Point("node-memory", "", {}, "bytes", 1.0), [speed])

    found = merged([one(30.0, 10.0), one(10.0, 30.0), one(400.0, 20.0)])
    assert found["a"]["value"] == pytest.approx(15.0)
    assert found["b"]["value"] == 30.0


def test_what_many_people_follow_at_many_nodes_is_read_again_at_each_of_them() -> None:
    fleet = Fleet(machines=100_000, browsers=10_000)
    few, many = steady(fleet, 2), steady(fleet, 20)
    assert many.followed_machines > 5 * few.followed_machines
    assert distinct(100, 0) == 0
    assert distinct(100, 10**6) == pytest.approx(100)
    assert distinct(1, 0.5) == 0.5
    parts = steady(fleet, 20).parts(COSTS)
    assert sum(parts.values()) == pytest.approx(steady(fleet, 20).node_us(COSTS))


def test_a_busy_loop_wakes_less_often_and_an_idle_one_pays_for_each_waking() -> None:
    few, many = Counts(beats=100), Counts(beats=50_000)
    alone, crowded = nodes_used(few, COSTS, 1.0) / 100, nodes_used(many, COSTS, 1.0) / 50_000
    assert alone > 2 * crowded
    assert nodes_used(Counts(beats=1e7), COSTS, 1.0) > 1.0  # more than there is: the node does not keep up
    assert cores(many, COSTS, 0.9) < cores(many, COSTS, 0.5)


@settings(max_examples=40)
@given(FLEETS)
def test_a_fleet_fits_what_is_left_when_a_zone_is_lost(fleet: Fleet) -> None:
    sizing = size(fleet, COSTS)
    assert sizing.left >= 2
    assert sizing.nodes - sizing.left == (1 if fleet.zones == 1 else sizing.nodes // fleet.zones)
    assert sizing.left * fleet.sockets >= fleet.connections
    assert sizing.node_bytes <= fleet.node_mib * 2**20
    assert sizing.node_cores <= sizing.nodes * (1 - fleet.headroom) * 1.02
    assert sizing.redis_cores <= sizing.redis * (1 - fleet.headroom) * 1.02
    assert [wall.times for wall in walls(sizing, COSTS)] == sorted(wall.times for wall in walls(sizing, COSTS))


@settings(max_examples=40)
@given(FLEETS, st.sampled_from(["machines", "browsers"]))
def test_more_of_anything_never_needs_less(fleet: Fleet, what: str) -> None:
    one, two = size(fleet, COSTS), size(replace(fleet, **{what: 2 * getattr(fleet, what) + 1}), COSTS)
    assert two.nodes >= one.nodes
    assert two.redis >= one.redis
    assert two.network_bits >= one.network_bits * 0.999


@pytest.mark.parametrize(
    ("fleet", "decides"),
    [
        (Fleet(machines=500, browsers=10), "nodes at all"),
        (Fleet(machines=100_000, browsers=10, sockets=2_000), "sockets"),
        (Fleet(machines=400_000, browsers=10, sockets=10**6, node_mib=80), "memory"),
        (Fleet(machines=100_000, browsers=50_000, frames=10), "processors, every day"),
        (
            Fleet(machines=100_000, browsers=10, sockets=10**6, headroom=0.1, return_seconds=3),
            "processors, a zone lost",
        ),
    ],
)
def test_what_is_scarce_decides(fleet: Fleet, decides: str) -> None:
    assert size(fleet, COSTS).needs[0].what == decides


def test_beats_are_counted_as_often_as_agents_send_them() -> None:
    assert steady(Fleet(machines=90_000, browsers=0), 3).beats == pytest.approx(10_000)


def test_a_fleet_that_its_database_cannot_serve_is_said_to_be_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--machines", "1000000", "--browsers", "100000", "--database-connections", "100") == 0
    told = capsys.readouterr().out
    assert "not as it is: PostgreSQL's connections do not suffice" in told
    assert "nodes in 3 zones" in told


def test_answers_are_for_programs_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--machines", "20000", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["fleet"]["machines"] == 20_000
    assert found["nodes"] >= found["left"] >= 2
    assert {need["what"] for need in found["needs"]} >= {"sockets", "memory"}
    assert all(wall["times"] > 0 for wall in found["walls"])


def test_predictions_and_costs_are_shown_with_their_errors_and_sources(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--check") == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["predicted", "measured", "error"]
    assert len(rows) >= 3
    assert all("%" in row for row in rows)
    assert run("--costs") == 0
    assert "bench.json: handshakes-agents" in capsys.readouterr().out


def test_a_run_of_ones_own_is_checked_beside_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_of = RESULTS / "model" / "fanout.json"
    assert run("--check", "--run", str(run_of)) == 0
    assert capsys.readouterr().out.count("fanout, ") == 2 * 2
    other = tmp_path / "other.json"
    other.write_text(run_of.read_text().replace('"scenario": "fanout"', '"scenario": "churn"'))
    assert run("--check", "--run", str(other)) == 64
    assert "the model counts those of deploy, fanout, production, storm, terminals" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--machines", "0"), "--machines: more than 0"),
        (("--browsers", "-1"), "--browsers: more than 0"),
        (("--headroom", "1"), "less than 1"),
        (("--workspace-machines", "10001"), "1 to 10,000"),
        (("--results", "/nowhere"), "No such file"),
        (("--table", __file__), "there is no <!-- sizing: begin -->"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(
    words: tuple[str, ...], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*words) == 64
    assert why in capsys.readouterr().err


def test_a_row_that_was_not_measured_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(RESULTS, tmp_path / "results")
    bench = tmp_path / "results" / BENCH
    bench.write_text(bench.read_text().replace('"beats-taken"', '"beats-took"'))
    assert run("--results", str(tmp_path / "results")) == 64
    assert "'beats-taken'" in capsys.readouterr().err


def test_the_table_is_written_between_its_marks_and_nowhere_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{table.BEGIN}\nan older table\n{table.END}\nafter\n")
    assert run("--table", str(page)) == 0
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "older" not in text
    assert "| nodes (a process and a core each) |" in text
    assert run("--table", str(page)) == 0
    assert page.read_text() == text


def test_the_sizing_table_of_the_readme_is_what_the_measurements_say() -> None:
    readme = README.read_text(encoding="utf-8")
    if table.BEGIN not in readme:
        pytest.skip("the README has no sizing table")
    written = table.replaced(README, table.table(COSTS, check(COSTS, RESULTS)))
    assert readme == written, "run: python -m loadtests model --table README.md"


def test_a_cost_of_nothing_needs_nothing() -> None:
    free = {name: Cost(0.0, cost.unit, cost.source, cost.how) for name, cost in COSTS.items()}
    assert size(Fleet(machines=10, browsers=1), free | {"node-bytes": COSTS["node-bytes"]}).nodes == 3


def test_a_fleet_without_people_is_one_too() -> None:
    assert size(Fleet(machines=1_000, browsers=0), COSTS).nodes >= 2
    with pytest.raises(Impossible):
        Fleet(machines=1, zones=0)
