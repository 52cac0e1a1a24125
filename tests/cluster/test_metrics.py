"""Shows that running nodes export exactly what the list of metrics says."""

from __future__ import annotations

import urllib.request
from uuid import uuid4

import pytest
from prometheus_client import Metric as Family
from prometheus_client.parser import text_string_to_metric_families

from relay.rules.metric import Metric, Process
from relay.rules.metrics import METRICS, exported_by
from tests.support.bare import BareMachine, a_session, attach, bare, bare_browser, output
from tests.support.cluster import Cluster, Team
from tests.support.metrics import Metrics

SECONDS = 15.0


def exported(url: str) -> dict[str, Family]:
    """What a process exports, as Prometheus reads it."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=SECONDS) as answer:
        return {family.name: family for family in text_string_to_metric_families(answer.read().decode())}


def unlike(found: dict[str, Family], process: Process) -> list[str]:
    """Where an export differs from the list."""
    listed = {metric.name: metric for metric in exported_by(process)}
    differing = [f"{name} is exported and not listed" for name in found.keys() - listed.keys()]
    differing += [f"{name} is listed and not exported" for name in listed.keys() - found.keys()]
    for name in found.keys() & listed.keys():
        differing += _unlike(found[name], listed[name])
    return differing


def _unlike(family: Family, metric: Metric) -> list[str]:
    differing = []
    if (family.type, family.documentation) != (metric.kind, metric.help):
        differing.append(f"{metric.name} is a {family.type}: {family.documentation}")
    for sample in family.samples:
        labels = {name: value for name, value in sample.labels.items() if name != "le"}
        if tuple(sorted(labels)) != tuple(sorted(metric.label_names)):
            differing.append(f"{sample.name} has labels {labels}")
        differing += [
            f"{sample.name} has {label.name}={labels.get(label.name)}"
            for label in metric.labels
            if label.values and labels.get(label.name) not in label.values
        ]
    return differing


def test_a_node_exports_what_is_listed_and_nothing_else(cluster: Cluster, team: Team) -> None:
    team.agent("mac")
    for url in cluster.urls:
        found = exported(cluster.metrics[url])
        assert unlike(found, "node") == []
        assert found["relay_build_info"].samples[0].value == 1.0
        assert found["process_resident_memory_bytes"].samples[0].value > 10_000_000
    assert sum(exported(cluster.metrics[url])["relay_agents"].samples[0].value for url in cluster.urls) == 1.0


def test_one_session_is_counted_at_each_place_that_it_passes(team: Team) -> None:
    near, far = team.cluster.urls
    here, there = Metrics(team.cluster, near), Metrics(team.cluster, far)
    machine, session = BareMachine(team, "counted"), a_session()
    with machine.agent(near, session) as agent, bare_browser(far, team.owner.token) as browser:
        number = attach(browser, agent, machine, session)
        agent.frame(output(session, 1), b"words")
        browser.hears_frame()
        there.reaches(1, "relay_attaches", outcome="done")
        there.reaches(1, "relay_frames_sent", peer="browser")
        there.reaches(1, "relay_frames_received", peer="node")
        here.reaches(1, "relay_frames_received", peer="agent")
        here.reaches(1, "relay_frames_sent", peer="node")
        assert there.moved("relay_resumes", outcome="recovered") == 0
        browser.say(type="attach", ref=2, machine=machine.id, session=str(uuid4()))
        browser.hears("error", ref=2)
        there.reaches(1, "relay_attaches", outcome="denied")
        browser.say(type="detach", session=session["id"], attachment=number)
        browser.hears("detached")
        there.reaches(1, "relay_attachments_ended", reason="left")


def test_who_is_turned_away_at_the_door_is_counted_with_the_reason(team: Team) -> None:
    url = team.cluster.urls[0]
    counted = Metrics(team.cluster, url)
    with bare(url, "/ws/agent", "rly_mach_nonsense") as nobody:
        assert nobody.is_closed() == (4002, "bad-token")
    counted.reaches(1, "relay_handshakes_refused", role="agent", why="bad-token")
    with bare(url, "/ws/browser", team.owner.token, subprotocols=("relay.v9",)) as newer:
        assert newer.is_closed()[0] == 4006
    counted.reaches(1, "relay_handshakes_refused", role="browser", why="unsupported-version")


@pytest.mark.parametrize("name", ["relay_agents", "relay_sockets_closed"])
def test_an_export_that_is_not_the_lists_is_found(name: str) -> None:
    metric = next(metric for metric in METRICS if metric.name == name)
    other = Family(name, metric.help, "summary")
    other.add_sample(f"{name}_total", {"machine": "mac"}, 1.0)
    assert len(_unlike(other, metric)) >= 2
