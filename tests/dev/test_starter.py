"""Checks that a program is the same process whether it is a fork of one that imported everything, or a new one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from tests.support import starter
from tests.support.processes import gone
from tests.support.starter import Started, new_interpreters

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere everything is started by exec")

SECONDS = 60.0
PROGRAM = """
import json, os, random, signal, sys, threading

def told():
    streams = sys.stdin, sys.stdout, sys.stderr
    return {
        "argv": sys.argv, "path": sys.path[0], "folder": os.getcwd(), "environment": dict(os.environ),
        "name": __name__, "module": sys.modules["__main__"].__spec__.name, "threads": threading.active_count(),
        "streams": [[each.name, each.encoding, each.errors, each.line_buffering] for each in streams],
        "descriptors": sorted(os.listdir("/proc/self/fd"))[:3], "leader": os.getsid(0) == os.getpid(),
        "signals": [str(signal.getsignal(each)) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)],
        "parent": os.getppid(), "umask": os.umask(0o22), "stdin": sys.stdin.read(),
    }

ends = {
    "tell": lambda: print(json.dumps(told())),
    "chance": lambda: print(random.random()),
    "code": lambda: sys.exit(3),
    "words": lambda: sys.exit("no, thanks"),
    "error": lambda: {}["nothing"],
    "thread": lambda: threading.Timer(0.05, print, ["late"]).start(),
    "wait": lambda: (print("waits", flush=True), signal.pause()),
}
ends[sys.argv[1]]()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where there is a program of which the starter knows."""
    (tmp_path / "anything.py").write_text(PROGRAM)
    monkeypatch.setitem(starter.IMPORTS, ("anything", ""), ("json",))
    return tmp_path


@pytest.fixture(params=["fork", "exec"])
def how(request: pytest.FixtureRequest) -> Iterator[str]:
    """Both ways, of which nobody should notice anything."""
    if request.param == "fork":
        yield "fork"
    else:
        with new_interpreters():
            yield "exec"


def start(folder: Path, *words: str, **more: Any) -> Started[str]:
    pipe = subprocess.PIPE
    more = {"stdin": subprocess.DEVNULL, "stdout": pipe, "stderr": pipe, "start_new_session": True} | more
    return Started([sys.executable, "-m", "anything", *words], cwd=folder, text=True, **more)


@contextmanager
def waiting(folder: Path, **more: Any) -> Iterator[Started[str]]:
    """One that waits for a signal."""
    with start(folder, "wait", stderr=subprocess.DEVNULL, **more) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waits\n"
        try:
            yield process
        finally:
            process.kill()


def ended(folder: Path, *words: str) -> tuple[int, str, str]:
    with start(folder, *words) as process:
        said, complained = process.communicate(timeout=SECONDS)
    return process.returncode, said, complained


def is_fork(process: Started[str]) -> bool:
    return b"tests.support.preloaded" in Path(f"/proc/{process.pid}/cmdline").read_bytes()


def test_a_fork_is_told_what_a_new_interpreter_is_told(folder: Path) -> None:
    environ = {"PATH": "/bin", "TZ": "Asia/Tokyo", "WORDS": "naïve\udcff", **starter._EARLY}
    answers = []
    for wanted in (nullcontext(), new_interpreters()):
        with wanted, start(folder, "tell", "a b", stdin=subprocess.PIPE, env=environ) as process:
            said, complained = process.communicate("läuft", timeout=SECONDS)
        assert complained == ""
        answers.append(json.loads(said))
    assert answers[0] == answers[1]
    assert answers[0]["environment"].items() >= environ.items()
    assert answers[0]["stdin"] == "läuft"
    assert answers[0]["parent"] == os.getpid()


def test_no_two_forks_have_the_same_chance(folder: Path) -> None:
    assert ended(folder, "chance") != ended(folder, "chance")


@pytest.mark.parametrize(
    ("word", "code", "said", "complained"),
    [
        ("code", 3, "", ""),
        ("words", 1, "", "no, thanks\n"),
        ("error", 1, "", "KeyError: 'nothing'\n"),
        ("thread", 0, "late\n", ""),
    ],
)
def test_an_end_is_the_same(how: str, folder: Path, word: str, code: int, said: str, complained: str) -> None:
    found = ended(folder, word)
    assert found[:2] == (code, said)
    assert found[2].endswith(complained)
    assert bool(found[2]) == bool(complained)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_and_is_told(how: str, folder: Path, number: signal.Signals) -> None:
    with waiting(folder) as process:
        assert is_fork(process) == (how == "fork")
        process.send_signal(number)
        assert process.wait(SECONDS) == -number


def test_what_only_a_new_interpreter_can_have_gets_one(folder: Path) -> None:
    for more in ({"env": os.environ | {"PYTHONHASHSEED": "1"}}, {"preexec_fn": os.getpid}, {"umask": 0o77}):
        with waiting(folder, **more) as process:
            assert not is_fork(process)


def test_when_the_starter_has_died_its_forks_go_on_and_there_is_another_one(folder: Path) -> None:
    with waiting(folder) as before:
        assert starter._STARTER.process is not None
        starter._STARTER.process.kill()
        starter._STARTER.process.wait()
        with waiting(folder) as meanwhile, waiting(folder) as after:
            assert not is_fork(meanwhile)
            assert is_fork(after)
        assert before.poll() is None


def test_a_fork_dies_with_whoever_started_it(folder: Path) -> None:
    program = """
import subprocess, sys
from tests.support import starter
starter.IMPORTS["anything", ""] = ()
process = starter.Started([sys.executable, "-m", "anything", "wait"], cwd=sys.argv[1], stdout=subprocess.PIPE)
process.stdout.readline()
print(process.pid, starter._STARTER.process.pid, flush=True)
sys.stdin.read()
"""
    words, pipe = [sys.executable, "-c", program, str(folder)], subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        started = [int(pid) for pid in process.stdout.readline().split()]
        process.kill()
    assert len(started) == 2
    assert gone(started, SECONDS)
