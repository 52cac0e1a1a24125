"""Shows that the systemd units are ones, let a node drain, and leave alone what a person must mend."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from relay.dev import crew
from relay.errors import Exit
from tests.deploy.grace import AFTER_SECONDS, VARIABLES, enough

UNITS = Path(__file__).parents[2] / "deploy" / "systemd"
NAMES = ("relay-node.service", "relay-node@.service", "relay-sweeper.service", "relay-agent.service")
NODES = NAMES[:2]
SERVERS = NAMES[:3]
OLDEST_SYSTEMD = 252  # Debian 12's; before 250, %d meant nothing
EXPOSURE_TENTHS = 20  # ours have 12; a unit without any restriction has 96
WRONG = re.compile(r"unknown|invalid|missing '='|failed to|not executable|lacks|outside of section", re.IGNORECASE)


def directives(name: str) -> dict[str, list[str]]:
    """What a unit says, by directive."""
    found: dict[str, list[str]] = {}
    for line in (UNITS / name).read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


def variables(name: str) -> dict[str, str]:
    """What it tells a program."""
    words = [word for line in directives(name).get("Environment", []) for word in line.split()]
    return {key: value for key, _, value in (word.partition("=") for word in words)}


@pytest.mark.parametrize("name", NAMES)
def test_systemd_understands_every_line(name: str, tmp_path: Path) -> None:
    """With a program in the place of ours that is there, for systemd looks."""
    text = (UNITS / name).read_text()
    for program in ("/opt/relay/bin/relay", "%h/.local/bin/relay"):
        text = text.replace(f"ExecStart={program} ", f"ExecStart={sys.executable} ")
    assert sys.executable in text
    assert [line for line in text.splitlines() if line and line[0] not in "#[" and "=" not in line] == []
    analyze = analyzer()
    if analyze is None:
        return  # such as in a container; what the other tests read is right all the same
    unit = tmp_path / name.replace("@", "@8001")
    unit.write_text(text)
    manner = "--user" if name == "relay-agent.service" else "--system"
    command = [analyze, "verify", manner, "--man=no", str(unit)]
    runtime = os.environ | {"XDG_RUNTIME_DIR": str(tmp_path)}
    done = subprocess.run(command, env=runtime, capture_output=True, text=True)
    # Of this unit alone, and only what is wrong: not this machine's own units, nor what a newer systemd advises.
    complaints = [line for line in done.stderr.splitlines() if unit.name in line and WRONG.search(line)]
    assert complaints == [], done.stderr


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_that_is_taken_over_can_do_little(name: str, tmp_path: Path) -> None:
    """By what systemd makes of a unit's restrictions, from 0 for none that is missing to 10 for none at all."""
    analyze = analyzer()
    if analyze is None:
        return
    unit = tmp_path / name.replace("@", "@8001")
    unit.write_text((UNITS / name).read_text())
    command = [analyze, "security", "--offline=yes", f"--threshold={EXPOSURE_TENTHS}", "--no-pager", str(unit)]
    done = subprocess.run(command, env=os.environ | {"XDG_RUNTIME_DIR": str(tmp_path)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-500:] + done.stderr


def analyzer() -> str | None:
    """The program that reads units, if its systemd is new enough to know every word of them."""
    found = shutil.which("systemd-analyze")
    if found is None:
        return None
    said = subprocess.run([found, "--version"], capture_output=True, text=True).stdout
    version = re.match(r"systemd (\d+)", said)
    return found if version is not None and int(version[1]) >= OLDEST_SYSTEMD else None


@pytest.mark.parametrize("name", NODES)
def test_a_node_has_time_to_drain_before_it_is_killed(name: str) -> None:
    assert directives(name)["KillSignal"] == ["SIGTERM"]
    assert enough(float(directives(name)["TimeoutStopSec"][0]), float(variables(name)["RELAY_DRAIN_SECONDS"]))


def test_a_crew_gives_each_of_its_nodes_that_time_too() -> None:
    assert crew.PARTING_SECONDS > AFTER_SECONDS


@pytest.mark.parametrize("name", NAMES)
def test_who_was_sent_away_for_good_is_not_started_again(name: str) -> None:
    """And who drained is not either, for that ends with 0."""
    final = {Exit.USAGE, Exit.CONFIGURATION}
    if name == "relay-agent.service":
        final |= {Exit.REPLACED, Exit.DENIED}
    found = directives(name)
    assert found["Restart"] == ["on-failure"]
    assert {int(code) for code in found["RestartPreventExitStatus"][0].split()} == final
    assert found["StartLimitIntervalSec"] == ["0"], "Redis may be away for longer than systemd has patience"


@pytest.mark.parametrize("name", SERVERS)
def test_servers_are_told_only_what_they_know_and_secrets_by_files(name: str) -> None:
    told = variables(name)
    assert told.keys() <= VARIABLES
    given = {word.partition(":")[0] for word in directives(name)["LoadCredential"]}
    assert {value.removeprefix("%d/") for key, value in told.items() if key.endswith("_FILE")} == given


@pytest.mark.parametrize("name", SERVERS)
def test_servers_have_no_right_that_they_do_not_need(name: str) -> None:
    found = directives(name)
    assert found["DynamicUser"] == ["yes"]
    assert found["ProtectSystem"] == ["strict"]
    assert found["CapabilityBoundingSet"] == [""]
    assert found["NoNewPrivileges"] == ["yes"]


def test_one_of_several_nodes_differs_from_a_single_one_only_in_its_ports() -> None:
    single, several = directives(NODES[0]), directives(NODES[1])
    assert single.keys() == several.keys()
    assert {key for key in single if single[key] != several[key]} == {"Description", "Environment"}
    assert variables(NODES[1]) == variables(NODES[0]) | {"RELAY_PORT": "%i", "RELAY_METRICS_PORT": "1%i"}
