"""Tests of `relay exec` against a real cluster: streams, exit codes, several machines, and JSON."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import time

import pytest

from tests.cli.person import Person
from tests.support.cluster import Cluster

pytestmark = pytest.mark.xdist_group("cli")


def on_mac(
    person: Person, *command: str, options: tuple[str, ...] = (), **more: object
) -> subprocess.CompletedProcess[str]:
    return person.run("exec", "mac-studio", *options, "--", *command, **more)  # type: ignore[arg-type]


def test_both_streams_and_the_exit_code_are_passed_on(jane: Person) -> None:
    done = on_mac(jane, "sh", "-c", "echo out; echo err >&2; exit 3", code=3)
    assert (done.stdout, done.stderr) == ("out\n", "err\n")


def test_words_reach_the_command_untouched(jane: Person) -> None:
    done = on_mac(jane, "printf", "%s|", "a b", "--json", "$HOME", "*", "--", "ä")
    assert done.stdout == "a b|--json|$HOME|*|--|ä|"


def test_a_signal_is_told_as_shells_tell_it(jane: Person) -> None:
    on_mac(jane, "sh", "-c", "kill -9 $$", code=137)


def test_a_command_that_is_not_there_is_127(jane: Person) -> None:
    on_mac(jane, "no-such-program-anywhere", code=127)


def test_standard_input_is_forwarded_whole_and_ends(jane: Person) -> None:
    text = b"0123456789abcde\n" * 20_000
    done = on_mac(jane, "sha256sum", stdin=text)
    assert done.stdout.split()[0] == hashlib.sha256(text).hexdigest()


def test_without_input_the_command_reads_its_end(jane: Person) -> None:
    assert on_mac(jane, "cat").stdout == ""
    assert on_mac(jane, "cat", options=("-n",), stdin=b"not sent").stdout == ""


def test_large_output_arrives_byte_for_byte(jane: Person) -> None:
    done = on_mac(jane, "sh", "-c", "seq 1 200000")
    assert done.stdout == "".join(f"{number}\n" for number in range(1, 200_001))


def test_variables_and_folder_are_set_there(jane: Person) -> None:
    done = on_mac(jane, "sh", "-c", 'echo "$A $B"; pwd', options=("--env", "A=1", "--env", "B=x=y", "--cwd", "/"))
    assert done.stdout == "1 x=y\n/\n"


def test_the_relay_and_its_secrets_are_not_in_the_environment_there(jane: Person) -> None:
    assert "RELAY_" not in on_mac(jane, "env").stdout


def test_a_timeout_ends_the_command_there_too(jane: Person) -> None:
    done = on_mac(jane, "sh", "-c", "exec sleep 4321", options=("--timeout", "0.5"), code=124)
    assert "relay: mac-studio: not done within 0.5 s" in done.stderr
    sessions = jane.json("sessions", "list", "mac-studio")["sessions"]
    ended = next(each for each in sessions if "4321" in each["title"])
    assert ended["endedAt"]


def test_an_interrupt_ends_the_command_there_too(jane: Person) -> None:
    with jane.start("exec", "mac-studio", "--", "sh", "-c", "echo started; exec sleep 8765") as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "started\n"
        running.send_signal(signal.SIGINT)
        assert running.wait(10) == 130
    deadline = time.monotonic() + 10
    while True:
        sessions = jane.json("sessions", "list", "mac-studio")["sessions"]
        if next(each for each in sessions if "8765" in each["title"]).get("endedAt"):
            return
        assert time.monotonic() < deadline


def test_a_reader_that_leaves_is_nobodys_failure(jane: Person) -> None:
    with jane.start("exec", "mac-studio", "--", "yes") as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "y\n"
        running.stdout.close()
        assert running.wait(10) == 141


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("exec", "no-such-machine", "--", "true"), 66, 'no machine matches "no-such-machine"'),
        (("exec", "x", "--", "true"), 64, "too short"),
        (("exec", "mac-studio"), 64, "behind --"),
        (("exec", "mac-studio", "--"), 64, "behind --"),
        (("exec", "--", "true"), 64, "name a machine"),
        (("exec", "--all", "mac-studio", "--", "true"), 64, "exclude"),
        (("exec", "mac-studio", "--env", "1=2", "--", "true"), 64, "NAME=VALUE"),
        (("exec", "mac-studio", "--no-such-option", "--", "true"), 64, "no-such-option"),
    ],
)
def test_a_wrong_use_is_one_line_and_its_code(jane: Person, words: tuple[str, ...], code: int, said: str) -> None:
    done = jane.run(*words, code=code)
    assert done.stdout == ""
    assert done.stderr.startswith("relay: ")
    assert done.stderr.count("\n") == 1
    assert said in done.stderr.lower() or said in done.stderr


def test_json_carries_streams_code_and_origin_and_nothing_else_is_on_stdout(jane: Person) -> None:
    answer = jane.json("exec", "mac-studio", code=64)
    assert answer["origin"] == "relay"
    done = on_mac(jane, "sh", "-c", "echo out; echo err >&2; exit 5", options=("--json",), code=5)
    answer = Person.read(done)
    assert answer["schema"] == 1
    (result,) = answer["results"]
    assert result["machine"]["name"] == "mac-studio"
    assert (result["origin"], result["exitCode"]) == ("remote", 5)
    assert (result["stdout"], result["stderr"]) == ("out\n", "err\n")


def test_json_of_bytes_that_are_no_text_is_base64(jane: Person) -> None:
    done = on_mac(jane, "printf", r"\377\000", options=("--json",))
    (result,) = Person.read(done)["results"]
    assert result["stdoutBase64"] == "/wA="
    assert "stdout" not in result


def test_json_of_our_own_failure_says_whose_it_is(jane: Person) -> None:
    done = jane.run("exec", "no-such-machine", "--json", "--", "true", code=66)
    answer = Person.read(done)
    assert answer["origin"] == "relay"
    assert answer["error"]["code"] == "not-found"


@pytest.fixture(scope="module")
def several(cli_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Person:
    """The owner of two machines that answer, `alpha` and `beta`, and of `gone`, which is offline."""
    team = cli_cluster.team()
    team.agent("alpha")
    team.agent("beta")
    team.agent("gone").stop()
    return Person(tmp_path_factory.mktemp("several"), cli_cluster.urls, team.owner.token, team.workspace)


def test_on_several_machines_lines_carry_their_machine(several: Person) -> None:
    done = several.run("exec", "beta", "alpha", "--", "sh", "-c", "echo one; printf two")
    assert sorted(done.stdout.splitlines()) == ["alpha: one", "alpha: two", "beta: one", "beta: two"]
    assert several.run("exec", "alpha", "beta", "--no-prefix", "--", "echo", "x").stdout == "x\nx\n"


def test_the_first_failure_in_the_order_of_the_arguments_is_the_exit_code(several: Person) -> None:
    several.run("exec", "alpha", "beta", "gone", "--", "sh", "-c", "exit 2", code=2)
    several.run("exec", "gone", "beta", "--", "sh", "-c", "exit 2", code=69)


def test_json_has_one_result_for_each_machine_also_for_one_that_is_offline(several: Person) -> None:
    done = several.run("exec", "alpha", "gone", "beta", "--json", "--", "true", code=69)
    results = Person.read(done)["results"]
    assert [each["machine"]["name"] for each in results] == ["alpha", "gone", "beta"]
    assert [each["exitCode"] for each in results] == [0, 69, 0]
    assert [each["origin"] for each in results] == ["remote", "relay", "remote"]
    assert results[1]["error"]["code"] == "offline"
    assert "relay: gone is offline, last seen" in done.stderr


def test_all_and_online_choose_machines(several: Person) -> None:
    assert several.run("exec", "--all", "--", "true", code=69).stderr.startswith("relay: gone is offline")
    for words in (("--all", "--online"), ("--online",), ("alpha", "gone", "beta", "--online")):
        done = several.run("exec", *words, "--", "echo", "here")
        assert sorted(done.stdout.splitlines()) == ["alpha: here", "beta: here"]
    assert several.run("exec", "gone", "--online", "--", "true", code=69).stderr.endswith("is online\n")


def test_every_machine_gets_all_of_the_input(several: Person) -> None:
    done = several.run("exec", "alpha", "beta", "--", "wc", "-c", stdin=b"x" * 100_000)
    assert sorted(done.stdout.split()) == ["100000", "100000", "alpha:", "beta:"]
