"""Tests real programs on real terminals and pipes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator

import pytest

from relay.agent import program
from relay.agent.program import Program, Start, start_command, start_terminal
from relay.rules.frames import STDERR

PLAIN = {"PATH": os.environ["PATH"], "TERM": "xterm-256color", "LANG": "C.UTF-8", "PS1": "$ ", "HISTFILE": ""}


class Run:
    """One program and what it wrote."""

    def __init__(self) -> None:
        self.text = b""
        self.errors = b""
        self.wrote = asyncio.Event()
        self.program: Program | None = None
        self.ending: asyncio.Task[int] | None = None

    def received(self, data: bytes, flags: int) -> None:
        if flags & STDERR:
            self.errors += data
        else:
            self.text += data
        self.wrote.set()

    async def start(self, *words: str, terminal: bool = True, argv0: str = "") -> Program:
        start = Start(list(words), argv0 or words[0], "/", PLAIN)
        if terminal:
            self.program = await start_terminal(start, 80, 24, self.received)
        else:
            self.program = await start_command(start, self.received)
        self.program.resume()
        self.ending = asyncio.create_task(self.program.ended())
        return self.program

    async def says(self, words: bytes) -> None:
        while words not in self.text + self.errors:
            self.wrote.clear()
            await self.wrote.wait()

    async def status(self) -> int:
        assert self.ending is not None
        return await self.ending


@pytest.fixture
async def run() -> AsyncIterator[Run]:
    running = Run()
    yield running
    if running.program is not None:
        running.program.signal(signal.SIGKILL)
        running.program.abandon()
        await running.status()


async def test_a_shell_on_a_terminal_answers(run: Run) -> None:
    shell = await run.start("/bin/sh", "-i", argv0="-sh")
    shell.write(b"echo $((6*7))\n", lambda: None)
    await run.says(b"42\r\n")
    shell.write(b"exit 3\n", lambda: None)
    assert await run.status() == 3


async def test_a_shell_is_a_login_shell_and_its_terminal_is_its_own(run: Run) -> None:
    await run.start("/bin/sh", "-c", 'echo "[$0]"; tty; stty size; ps -o tpgid=,pgid= -p $$ | tr -s " "', argv0="-sh")
    assert await run.status() == 0
    lines = run.text.decode().split("\r\n")
    assert lines[0] == "[-sh]"
    assert lines[1].startswith("/dev/pts/")
    assert lines[2] == "24 80"
    foreground, group = lines[3].split()
    assert foreground == group


async def test_ctrl_c_reaches_what_runs_in_the_foreground(run: Run) -> None:
    shell = await run.start("/bin/sh", "-c", "trap 'echo caught; exit 5' INT; echo ready; while :; do sleep 0.05; done")
    await run.says(b"ready")
    shell.write(b"\x03", lambda: None)
    assert await run.status() == 5
    assert b"caught" in run.text


async def test_a_new_size_is_seen_on_the_terminal(run: Run) -> None:
    shell = await run.start("/bin/sh", "-c", "echo ready; read line; stty size")
    await run.says(b"ready")
    shell.resize(132, 43)
    shell.write(b"\n", lambda: None)
    await run.status()
    assert b"43 132" in run.text


async def test_all_output_before_the_end_is_read(run: Run) -> None:
    await run.start("/bin/sh", "-c", "seq 1 20000")
    assert await run.status() == 0
    assert run.text.split() == [str(number).encode() for number in range(1, 20_001)]


async def test_ended_by_a_signal_is_a_negative_status(run: Run) -> None:
    shell = await run.start("/bin/sh", "-c", "echo ready; exec sleep 60")
    await run.says(b"ready")
    shell.signal(signal.SIGHUP)
    assert await run.status() == -signal.SIGHUP


async def test_a_program_that_is_not_there_says_so_on_its_terminal(run: Run) -> None:
    await run.start("/no/such/shell")
    assert await run.status() == 127
    assert b"relay: command not found: /no/such/shell" in run.text


async def test_a_program_that_cannot_be_run_says_so_on_its_terminal(run: Run) -> None:
    await run.start("/etc/passwd")
    assert await run.status() == 126


async def test_a_command_keeps_its_two_outputs_apart(run: Run) -> None:
    await run.start("/bin/sh", "-c", "echo out; echo err >&2; exit 4", terminal=False)
    assert await run.status() == 4
    assert (run.text, run.errors) == (b"out\n", b"err\n")


async def test_a_command_reads_its_input_to_the_end(run: Run) -> None:
    taken: list[int] = []
    counter = await run.start("wc", "-c", terminal=False)
    for number in range(40):
        counter.write(bytes(10_000), lambda number=number: taken.append(number))  # type: ignore[misc]
    counter.end_input()
    assert await run.status() == 0
    assert run.text.split() == [b"400000"]
    assert taken == list(range(40))


async def test_input_that_nobody_reads_waits_and_counts_as_taken_when_the_program_is_gone(run: Run) -> None:
    taken: list[bool] = []
    deaf = await run.start("sleep", "60", terminal=False)
    deaf.write(bytes(200_000), lambda: taken.append(True))
    assert deaf.unwritten_bytes > 100_000
    assert taken == []
    deaf.signal(signal.SIGKILL)
    await run.status()
    assert taken == [True]


async def test_a_paused_program_stalls_and_loses_nothing(run: Run) -> None:
    talker = await run.start("/bin/sh", "-c", "echo ready; read go; seq 1 30000", terminal=False)
    await run.says(b"ready\n")
    talker.pause()
    talker.write(b"\n", lambda: None)
    for _ in range(20):
        await asyncio.sleep(0.005)  # long enough for a pipe to fill, were it read
    assert run.text == b"ready\n"
    talker.resume()
    assert await run.status() == 0
    assert len(run.text.split()) == 30_001


async def test_a_paused_program_that_has_ended_is_read_to_its_end(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "LINGER_SECONDS", 0.01)
    talker = await run.start("/bin/sh", "-c", "echo ready; read go; seq 1 1000", terminal=False)
    await run.says(b"ready\n")
    talker.pause()
    talker.write(b"\n", lambda: None)
    await asyncio.wait_for(talker._process.wait(), 5)
    other = Run()
    await other.start("sleep", "0.1", terminal=False)
    await other.status()
    talker.resume()
    assert await run.status() == 0
    assert len(run.text.split()) == 1_001


async def test_what_stays_in_the_background_does_not_keep_a_command_open(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "LINGER_SECONDS", 0.05)
    await run.start("/bin/sh", "-c", "sleep 60 & echo $!", terminal=False)
    assert await run.status() == 0
    os.kill(int(run.text), signal.SIGKILL)


async def test_ignored_signals_of_the_agent_are_not_ignored_in_its_shells(run: Run) -> None:
    show = "import signal; print([s.name for s in signal.Signals if signal.getsignal(s) == signal.SIG_IGN])"
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        await run.start("/bin/sh", "-c", f'"{sys.executable}" -I -S -c "{show}"')
    finally:
        signal.signal(signal.SIGHUP, before)
    assert await run.status() == 0
    assert b"SIGHUP" not in run.text
