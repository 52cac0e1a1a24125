"""Tests of the program itself: what it imports to say little, and how it tells what failed."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

from relay import cli
from relay.cli import COMMANDS, Entry
from relay.errors import NotFound, Unavailable

# Each costs more than the whole of `relay --help` may take.
HEAVY = ("redis", "sqlalchemy", "starlette", "textual", "pydantic", "uvicorn", "structlog", "asyncio", "rich", "httpx2")


def loaded_modules(*arguments: str) -> set[str]:
    program = (
        "import sys\nfrom relay.cli import run\n"
        f"try: run({list(arguments)!r})\nexcept SystemExit: pass\n"
        "print('\\n' + ' '.join(sorted(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)
    return {module.split(".")[0] for module in done.stderr.splitlines()[-1].split()}


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["no-such-command"], []])
def test_saying_what_there_is_imports_nothing_heavy(arguments: list[str]) -> None:
    assert loaded_modules(*arguments).isdisjoint(HEAVY)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_every_command_needs_no_server(name: str) -> None:
    heavy = {"redis", "sqlalchemy", "starlette", "textual", "uvicorn"}
    assert loaded_modules(name, "--help").isdisjoint(heavy)


@pytest.mark.parametrize("program", ["relay.process", "relay.agent.startup", "workers.process"])
def test_a_program_that_stays_imports_nothing_to_colour_with_and_collects_garbage_again(program: str) -> None:
    lean = (
        "import gc, sys\nfrom relay.cli.lean import importing\n"
        f"with importing(): import {program}\n"
        "assert 'structlog' in sys.modules and gc.isenabled()\n"
        "import rich; assert rich.__file__ and not [name for name in sys.modules if name == 'pygments']"
    )
    subprocess.run([sys.executable, "-c", lean], check=True, timeout=30)


@pytest.mark.parametrize(("name", "entry"), COMMANDS.items())
def test_every_row_leads_to_a_command_of_that_name(name: str, entry: Entry) -> None:
    command = cli.program().get_command(click.Context(cli.program()), name)
    assert command is not None
    assert command.name == name
    assert entry.help.endswith(".")


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    @click.command(name="fail")
    def command() -> None:
        raise error

    monkeypatch.setattr(cli, "failing", command, raising=False)
    monkeypatch.setitem(COMMANDS, "fail", Entry("Fail.", "relay.cli", "failing"))


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (NotFound('no machine matches "x"'), 66, 'relay: no machine matches "x"\n'),
        (BaseExceptionGroup("", [Unavailable("no node answers")]), 75, "relay: no node answers\n"),
        (Unavailable("no\x1b[2Jnode"), 75, "relay: no\\x1b[2Jnode\n"),
        (click.UsageError("two of them"), 64, "relay: two of them (relay fail --help)\n"),
        (KeyboardInterrupt(), 130, "\n"),
        (BrokenPipeError(), 141, ""),
    ],
)
def test_what_failed_is_one_line_and_a_code(
    error: BaseException, code: int, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(monkeypatch, error)
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    assert cli.run(["fail"]) == code
    assert capsys.readouterr().err == line


def test_a_mistake_of_ours_is_shown_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, BaseExceptionGroup("", [NotFound("x"), ZeroDivisionError()]))
    with pytest.raises(BaseExceptionGroup):
        cli.run(["fail"])


def test_an_unknown_command_is_a_matter_of_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["no-such-command"]) == 64
    assert capsys.readouterr().err == "relay: No such command 'no-such-command'. (relay --help)\n"


def test_a_command_may_return_its_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "returning", click.command(name="give")(lambda: 7), raising=False)
    monkeypatch.setitem(COMMANDS, "give", Entry("Give.", "relay.cli", "returning"))
    assert cli.run(["give"]) == 7
