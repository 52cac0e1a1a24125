"""Renders the Helm chart as several operators would, and shows that what comes out is valid and fits a node."""

from __future__ import annotations

import os
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import helm_python
import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from relay import VERSION
from relay.cli import run
from relay.environ import load
from relay.rules.timing import PING_SECONDS, PONG_SECONDS
from relay.uses import SWEEPER
from tests.deploy.grace import IN_THE_IMAGE, VARIABLES, enough

pytestmark = pytest.mark.xdist_group("chart")  # it takes a second to load

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "relay"
OLDEST, NEWEST = "1.27", kubernetes_validate.latest_version()  # of Kubernetes
WARNING = 2  # of Helm's linter: 1 is advice, 3 an error
SMALLEST: dict[str, Any] = {"publicUrl": "https://relay.example.com", "existingSecret": "relay"}
TRIAL: dict[str, Any] = {
    "publicUrl": "http://relay.test:8080",
    "secret": {
        "relaySecret": "not-a-secret-at-all-but-long",
        "databaseUrl": "postgresql+asyncpg://relay:relay@database/relay",
        "redisUrl": "redis://valkey:6379",
    },
    "autoscaling": {"enabled": False},
    "networkPolicy": {"enabled": False},
    "bootstrap": {"workspace": "Acme, Inc.", "owner": 'Jane "J" Doe'},
    "node": {"replicas": 2, "drainSeconds": 0, "endpointSeconds": 1},
}
LARGE: dict[str, Any] = SMALLEST | {
    "trustedProxies": ["10.0.0.0/8", "fd00::/8"],
    "settings": {"RELAY_HANDSHAKES": 4000, "RELAY_LOG_LEVEL": "warning"},
    "node": {
        "drainSeconds": 300,
        "sockets": 40000,
        "spread": {"host": "DoNotSchedule", "zone": "DoNotSchedule"},
        "nodeSelector": {"pool": "relay"},
        "tolerations": [{"key": "relay", "operator": "Exists"}],
        "podAnnotations": {"example.com/team": "sre"},
    },
    "autoscaling": {"minReplicas": 6, "maxReplicas": 40, "connections": 0},
    "ingress": {"enabled": True, "tlsSecretName": "relay-tls"},
    "metrics": {"serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}}},
    "migration": {"enabled": True},
    "networkPolicy": {
        "fromIngress": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress-nginx"}}}],
        "toDatabase": [{"ipBlock": {"cidr": "10.1.2.0/24"}}],
    },
    "imagePullSecrets": [{"name": "registry"}],
}
OPERATORS = {"smallest": SMALLEST, "trial": TRIAL, "large": LARGE}


class Rendered:
    """What an installation would send to Kubernetes."""

    def __init__(self, values: dict[str, Any]) -> None:
        with helm_python.Chart.load(CHART) as chart:
            files = chart.render(deepcopy(values), name="prod", namespace="relay")
        self.notes = next(text for name, text in files.items() if name.endswith("NOTES.txt"))
        texts = [text for name, text in files.items() if name.endswith(".yaml")]
        self.all = [each for text in texts for each in yaml.safe_load_all(text) if each]

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Those of one kind."""
        return [each for each in self.all if each["kind"] == kind]

    def one(self, kind: str, name: str) -> dict[str, Any]:
        """That of a kind and name."""
        return next(each for each in self.of(kind) if each["metadata"]["name"] == name)

    def pods(self) -> Iterator[tuple[str, dict[str, Any], dict[str, str]]]:
        """Every kind of pod: its name, specification and labels."""
        for each in (*self.of("Deployment"), *self.of("Job")):
            template = each["spec"]["template"]
            yield each["metadata"]["name"], template["spec"], template["metadata"]["labels"]


@pytest.fixture(scope="module", params=OPERATORS)
def rendered(request: pytest.FixtureRequest) -> Rendered:
    """The chart as one of them installs it."""
    return Rendered(OPERATORS[request.param])


def selected(selector: dict[str, str], labels: dict[str, str]) -> bool:
    """Whether something with these labels is meant."""
    return selector.items() <= labels.items()


def environment(container: dict[str, Any]) -> dict[str, str]:
    """Its variables; asserts that none is there twice."""
    found = {each["name"]: each["value"] for each in container["env"]}
    assert len(found) == len(container["env"])
    return found


@pytest.mark.parametrize("operator", OPERATORS)
def test_the_linter_has_no_complaint(operator: str) -> None:
    report = helm_python.lint(CHART, deepcopy(OPERATORS[operator]), strict=True)
    assert [each for each in report["messages"] if each["severity"] >= WARNING] == []
    assert report["errors"] == []


def test_everything_is_what_kubernetes_expects(rendered: Rendered) -> None:
    for each in rendered.all:
        if each["kind"] != "ServiceMonitor":  # of the Prometheus operator
            kubernetes_validate.validate(each, NEWEST, strict=True)


def test_the_oldest_kubernetes_that_the_chart_allows_takes_it_too() -> None:
    assert f">={OLDEST}.0" in (CHART / "Chart.yaml").read_text()
    for each in Rendered(SMALLEST).all:
        kubernetes_validate.validate(each, OLDEST, strict=True)


def test_a_node_has_time_to_drain_before_it_is_killed(rendered: Rendered) -> None:
    pod = rendered.one("Deployment", "prod-relay-node")["spec"]["template"]["spec"]
    node = pod["containers"][0]
    word, seconds = node["lifecycle"]["preStop"]["exec"]["command"]
    drain = float(environment(node)["RELAY_DRAIN_SECONDS"])
    assert word == "sleep"
    assert enough(pod["terminationGracePeriodSeconds"], drain, float(seconds))


def test_a_node_leaves_its_service_before_it_stops_to_take_newcomers(rendered: Rendered) -> None:
    """The probe notices what preStop did not wait for, and liveness never ends a node that drains."""
    node = rendered.one("Deployment", "prod-relay-node")["spec"]["template"]["spec"]["containers"][0]
    assert node["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    assert node["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}


def test_nodes_are_told_only_what_they_know(rendered: Rendered) -> None:
    for name, pod, _ in rendered.pods():
        told = environment(pod["containers"][0])
        assert told.keys() <= VARIABLES, name


def test_a_pod_has_the_secrets_that_it_needs_and_no_other(rendered: Rendered) -> None:
    """Above all, nobody who takes a node over finds how the owner of the tables signs in."""
    owner = "database-owner-url" if any("migration" in name for name, _, _ in rendered.pods()) else "database-url"
    needed = {
        "node": {"relay-secret", "database-url", "redis-url"},
        "sweeper": {"database-url", "redis-url"},
        "bootstrap": {"relay-secret", owner},
        "migration": {owner},
    }
    for name, pod, labels in rendered.pods():
        given = next(each["secret"] for each in pod["volumes"] if each["name"] == "secrets")
        files = {each["path"] for each in given["items"]}
        assert {each["key"] for each in given["items"]} == files == needed[labels["app.kubernetes.io/component"]], name
        told = environment(pod["containers"][0])
        assert {told[each] for each in told if each.endswith("_FILE")} == {f"/run/relay/{file}" for file in files}


def test_a_node_takes_its_settings_and_secrets(tmp_path: Path) -> None:
    rendered = Rendered(TRIAL)
    for name, value in rendered.one("Secret", "prod-relay")["stringData"].items():
        (tmp_path / name).write_text(value)
    told = environment(rendered.one("Deployment", "prod-relay-node")["spec"]["template"]["spec"]["containers"][0])
    settings = load(environ={name: value.replace("/run/relay", str(tmp_path)) for name, value in told.items()})
    assert settings.secret == TRIAL["secret"]["relaySecret"]
    assert settings.redis_url == TRIAL["secret"]["redisUrl"]
    assert settings.allowed_hosts == ("relay.test:8080",)


def test_bootstrap_makes_a_cluster_of_what_it_is_told_and_the_sweeper_needs_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rendered = Rendered(TRIAL)
    for name, value in rendered.one("Secret", "prod-relay")["stringData"].items():
        (tmp_path / name).write_text(value)
    told = {labels["app.kubernetes.io/component"]: pod["containers"][0] for _, pod, labels in rendered.pods()}
    here = {
        part: IN_THE_IMAGE
        | {name: value.replace("/run/relay", str(tmp_path)) for name, value in environment(container).items()}
        for part, container in told.items()
    }
    assert load(SWEEPER, environ=here["sweeper"]).redis_url == TRIAL["secret"]["redisUrl"]

    (tmp_path / "database-url").write_text(f"sqlite+aiosqlite:///{tmp_path / 'registry.db'}")
    for name in [name for name in os.environ if name.startswith("RELAY_")]:
        monkeypatch.delenv(name)
    for name, value in here["bootstrap"].items():
        monkeypatch.setenv(name, value)
    assert run(told["bootstrap"]["args"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("http://relay.test:8080/#sign-in=")
    assert said.err == 'workspace Acme, Inc., owner Jane "J" Doe\n'


def test_pods_may_nothing_and_ask_kubernetes_nothing(rendered: Rendered) -> None:
    for name, pod, _ in rendered.pods():
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["enableServiceLinks"] is False, "Kubernetes would set RELAY_PORT for a Service called relay"
        assert pod["securityContext"]["runAsNonRoot"], name
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


def test_what_is_selected_is_what_is_meant(rendered: Rendered) -> None:
    labels = {name: labels for name, _, labels in rendered.pods()}
    node = labels["prod-relay-node"]
    for service in rendered.of("Service"):
        found = [name for name in labels if selected(service["spec"]["selector"], labels[name])]
        part = "sweeper" if "sweeper" in service["metadata"]["name"] else "node"
        assert found == [f"prod-relay-{part}"]
    for budget in rendered.of("PodDisruptionBudget"):
        selector = budget["spec"]["selector"]["matchLabels"]
        assert [name for name in labels if selected(selector, labels[name])] == [budget["metadata"]["name"]]
    for policy in rendered.of("NetworkPolicy"):
        selector = policy["spec"]["podSelector"]["matchLabels"]
        assert all(selected(selector, each) for each in labels.values())
    for monitor in rendered.of("ServiceMonitor"):
        selector = monitor["spec"]["selector"]["matchLabels"]
        services = [each["metadata"] for each in rendered.of("Service")]
        meant = [each for each in services if selected(selector, each["labels"])]
        jobs = {each["name"]: each["labels"][monitor["spec"]["jobLabel"]] for each in meant}
        assert jobs == {f"prod-relay-{part}-metrics": f"relay-{part}" for part in ("node", "sweeper")}
    for spread in rendered.one("Deployment", "prod-relay-node")["spec"]["template"]["spec"][
        "topologySpreadConstraints"
    ]:
        assert selected(spread["labelSelector"]["matchLabels"], node)


def test_metrics_are_for_prometheus_alone_and_for_nobody_where_it_has_no_name() -> None:
    """They ask nobody who they are."""

    def callers(values: dict[str, Any]) -> list[Any]:
        rules = Rendered(values).of("NetworkPolicy")[0]["spec"]["ingress"]
        return [rule.get("from") for rule in rules if {"protocol": "TCP", "port": 9464} in rule["ports"]]

    prometheus = {"app.kubernetes.io/name": "prometheus"}
    assert callers(SMALLEST) == [[{"namespaceSelector": {}, "podSelector": {"matchLabels": prometheus}}]]
    assert callers(SMALLEST | {"networkPolicy": {"fromPrometheus": []}}) == []


def test_an_autoscaler_owns_the_number_of_nodes_or_nobody_does(rendered: Rendered) -> None:
    scalers, node = rendered.of("HorizontalPodAutoscaler"), rendered.one("Deployment", "prod-relay-node")
    assert bool(scalers) != ("replicas" in node["spec"]), "each upgrade would undo what the other did"
    for scaler in scalers:
        assert scaler["spec"]["scaleTargetRef"]["name"] == "prod-relay-node"
        assert scaler["spec"]["metrics"][-1]["resource"]["name"] == "cpu"


def test_nodes_are_scaled_by_their_connections() -> None:
    """By a metric that the rule for prometheus-adapter makes of two that nodes have."""
    metrics = Rendered(SMALLEST).of("HorizontalPodAutoscaler")[0]["spec"]["metrics"]
    rule = yaml.safe_load((CHART.parent / "prometheus-adapter.yaml").read_text())["rules"]["custom"][0]
    assert metrics[0]["pods"]["metric"]["name"] == rule["name"]["as"] == "relay_sockets"
    assert "relay_agents{" in rule["metricsQuery"]
    assert "relay_browsers{" in rule["metricsQuery"]


def test_an_ingress_lets_sockets_be_idle_and_takes_none_back_to_where_it_was() -> None:
    ingress = Rendered(LARGE).one("Ingress", "prod-relay")
    annotations = ingress["metadata"]["annotations"]
    for name in ("read", "send"):
        assert int(annotations[f"nginx.ingress.kubernetes.io/proxy-{name}-timeout"]) >= 5 * (
            PING_SECONDS + PONG_SECONDS
        )
    assert not any("affinity" in name for name in annotations)
    assert ingress["spec"]["rules"][0]["host"] == ingress["spec"]["tls"][0]["hosts"][0] == "relay.example.com"


def test_the_owner_of_the_tables_makes_and_changes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the job would run, run."""
    jobs = {each["metadata"]["name"]: each for each in Rendered(LARGE).of("Job")}
    urls = {
        environment(job["spec"]["template"]["spec"]["containers"][0])["RELAY_DATABASE_URL_FILE"]
        for job in jobs.values()
    }
    assert urls == {"/run/relay/database-owner-url"}
    command = jobs["prod-relay-migration"]["spec"]["template"]["spec"]["containers"][0]["command"]
    file = tmp_path / "url"
    file.write_text(f"sqlite+aiosqlite:///{tmp_path}/relay.db\n")
    monkeypatch.setenv("RELAY_DATABASE_URL_FILE", str(file))
    assert command[:2] == ["python", "-c"]
    exec(command[2], {})
    assert (tmp_path / "relay.db").exists()


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"existingSecret": "relay"}, "publicUrl is needed"),
        ({"publicUrl": "https://relay.example.com"}, "existingSecret, or secret."),
        (SMALLEST | {"settings": {"RELAY_DRAIN_SECONDS": 5}}, "has a value of its own"),
        (TRIAL | {"migration": {"enabled": True}}, "migration.enabled needs existingSecret"),
        (SMALLEST | {"autoscaling": {"minReplicas": 5, "maxReplicas": 4}}, "maxReplicas is less than"),
    ],
)
def test_what_cannot_work_is_refused_with_a_sentence(values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(helm_python.HelmRenderError, match=complaint):
        Rendered(values)


@pytest.mark.parametrize(
    "values",
    [
        {"nodes": {}},
        {"node": {"drainSecond": 5}},
        {"node": {"drainSeconds": "30s"}},
        {"publicUrl": "relay.example.com"},
        {"secret": {"relaySecret": "short"}},
        {"secret": {"databaseUrl": "sqlite+aiosqlite:///relay.db"}},
        {"settings": {"LOG_LEVEL": "info"}},
    ],
)
def test_a_value_that_is_none_is_refused(values: dict[str, Any]) -> None:
    report = helm_python.lint(CHART, SMALLEST | values)
    assert any(
        "specifications of the schema" in each["error"] for each in report["messages"] if each["severity"] > WARNING
    ), report


def test_its_notes_say_how_long_a_pod_takes_and_what_is_missing() -> None:
    assert "takes up to 60 s" in Rendered(SMALLEST).notes
    assert "not https" in Rendered(TRIAL).notes
    assert "trustedProxies is empty" not in Rendered(LARGE).notes


def test_it_is_of_this_version() -> None:
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] == VERSION
