"""Holds the house in shape: who may import whom, what rules may not touch, and how long a function may be.

The checks are functions of source text, so that each is also shown to fail on a house that breaks it.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
BODY_LINES = 50
PARAMETERS = 6


class Floor(NamedTuple):
    """One row of the house: the files it claims, and which rows above it may not touch all the same."""

    name: str
    files: tuple[str, ...]  # a file, or a folder with a slash at its end
    not_floors: frozenset[str] = frozenset()
    not_packages: frozenset[str] = frozenset()
    pure_names: frozenset[str] = frozenset()  # of those packages, functions of their arguments and nothing else
    lazily_anything: bool = False  # inside functions it may import whatever it starts


SQL = frozenset({"sqlalchemy", "aiosqlite", "asyncpg", "alembic"})
REDIS = frozenset({"redis", "hiredis", "fakeredis"})
HTTP = frozenset({"starlette", "uvicorn"})
SOCKETS = frozenset({"websockets", "socket", "httpx2", "selectors", "ssl"})
OUTSIDE = SQL | REDIS | HTTP | SOCKETS | {"asyncio", "threading", "subprocess"}
CLOCKS = frozenset({"time", "random", "secrets", "uvloop"})
SERVER = frozenset({"registry", "store", "node", "web", "app", "workers"})

# From the top: a floor imports from rows above its own, less what its row takes away.
HOUSE = (
    Floor(
        "name",
        (
            "relay/__init__.py",
            "relay/settings.py",
            "relay/environ.py",
            "relay/variables.py",
            "relay/contradictions.py",
            "relay/urls.py",
            "relay/uses.py",
            "relay/errors.py",
        ),
        not_packages=OUTSIDE | CLOCKS,
    ),
    Floor(
        "rules",
        ("relay/rules/",),
        not_packages=OUTSIDE | CLOCKS | {"os", "pathlib", "structlog", "prometheus_client"},
        pure_names=frozenset({"websockets.speedups.apply_mask"}),
    ),
    Floor(
        "tells",
        ("relay/logs.py", "relay/instruments.py", "relay/traces.py", "relay/vitals.py"),
        not_packages=OUTSIDE | CLOCKS,
    ),
    Floor("registry", ("relay/registry/",), not_packages=REDIS | HTTP),
    Floor("store", ("relay/store/",), frozenset({"registry"}), HTTP | SQL | {"websockets"}),
    Floor("node", ("relay/node/",), not_packages=SQL | {"redis", "starlette"}),
    Floor("web", ("relay/web/",), not_packages=SQL | REDIS),
    Floor("client", ("relay/client/",), SERVER, SQL | REDIS | HTTP),
    Floor("agent", ("relay/agent/",), SERVER, SQL | REDIS | HTTP),
    Floor("app", ("relay/app.py", "relay/observing.py", "relay/opening.py", "relay/process.py"), frozenset({"agent"})),
    Floor("workers", ("workers/",), frozenset({"node", "web", "client", "agent", "app"}), HTTP),
    Floor("dev", ("relay/dev/",)),
    Floor("cli", ("relay/cli/",), SERVER, SQL | REDIS | HTTP, lazily_anything=True),
    Floor("ui", ("relay/ui/",), SERVER, SQL | REDIS | HTTP),
)


class Import(NamedTuple):
    """One module that a file imports; `lazy` inside a function."""

    module: str
    line: int
    lazy: bool


class File(NamedTuple):
    """A source file by its path from the root."""

    path: str
    source: str


def floor_of(path: str) -> Floor | None:
    """The floor that claims a file: the row with the longest claim on its path."""
    claims = [
        (len(claim), floor)
        for floor in HOUSE
        for claim in floor.files
        if path == claim or (claim.endswith("/") and path.startswith(claim))
    ]
    return max(claims, key=lambda claim: claim[0])[1] if claims else None


def imports(file: File) -> Iterator[Import]:
    """Every import of a file, relative ones and those inside functions included; those for type checkers as well."""
    package = file.path.removesuffix(".py").replace("/", ".").rpartition(".")[0]

    def walk(node: ast.AST, lazy: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from (Import(alias.name, child.lineno, lazy) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                base = child.module or ""
                if child.level:
                    parts = package.split(".")[: len(package.split(".")) - child.level + 1]
                    base = ".".join([*parts, base] if base else parts)
                # `from relay import web` names a module where `from relay.web import site` names a thing or a module.
                yield from (Import(f"{base}.{alias.name}", child.lineno, lazy) for alias in child.names)
            else:
                yield from walk(child, lazy or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda))

    yield from walk(ast.parse(file.source), False)


def floor_named(module: str) -> Floor | None:
    """The floor of a module of ours, `relay.web.site.create_web` included; None for anybody else's."""
    if module.split(".")[0] not in {"relay", "workers"}:
        return None
    path = module.replace(".", "/")
    found = floor_of(f"{path}.py") or floor_of(f"{path}/")
    while found is None and "/" in path:
        path = path.rpartition("/")[0]
        found = floor_of(f"{path}.py") or floor_of(f"{path}/") or floor_of(f"{path}/__init__.py")
    return found


def broken_imports(files: list[File]) -> list[str]:
    """Imports against the table, each as a sentence."""
    found = []
    for file in files:
        floor = floor_of(file.path)
        if floor is None:
            continue
        for wanted in imports(file):
            if wanted.lazy and floor.lazily_anything:
                continue
            place = f"{file.path}:{wanted.line}"
            other = floor_named(wanted.module)
            if other is not None and other is not floor:
                below = HOUSE.index(other) > HOUSE.index(floor)
                if below or other.name in floor.not_floors:
                    found.append(f"{place}: {floor.name} may not import {wanted.module} of {other.name}")
            elif wanted.module.split(".")[0] in floor.not_packages and wanted.module not in floor.pure_names:
                found.append(f"{place}: {floor.name} may not import {wanted.module}")
            elif wanted.module.split(".")[0] in {"tests", "loadtests"}:
                found.append(f"{place}: the product may not import its tests")
    return found


def impure_rules(files: list[File]) -> list[str]:
    """Places in rules that wait, or ask the machine for the time or for chance."""
    found = []
    for file in files:
        if not file.path.startswith("relay/rules/"):
            continue
        for node in ast.walk(ast.parse(file.source)):
            if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith):
                found.append(f"{file.path}:{node.lineno}: rules never wait")
            if isinstance(node, ast.Call) and _called(node.func) in {
                "uuid4",
                "uuid1",
                "urandom",
                "now",
                "utcnow",
                "open",
            }:
                found.append(f"{file.path}:{node.lineno}: rules are told the time and chance, and read nothing")
    return found


def unclaimed(files: list[File]) -> list[str]:
    """Files that no floor claims."""
    return [f"{file.path}: no floor claims this file" for file in files if floor_of(file.path) is None]


def too_long(files: list[File]) -> list[str]:
    """Functions whose body passes the limit, docstring included, and constructors with too many parameters."""
    found = []
    for file in files:
        for node in ast.walk(ast.parse(file.source)):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            lines = (node.end_lineno or 0) - node.body[0].lineno + 1
            if lines > BODY_LINES:
                found.append(f"{file.path}:{node.lineno}: the body of {node.name} has {lines} lines")
            given = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
            if node.name == "__init__" and len(given) - 1 > PARAMETERS:
                found.append(f"{file.path}:{node.lineno}: a constructor takes {len(given) - 1} parameters")
    return found


def circles(files: list[File]) -> list[str]:
    """Files that import each other, straight or by way of others, be it in a function or for type checkers alone."""
    of = {file.path.removesuffix(".py").removesuffix("/__init__").replace("/", "."): file for file in files}
    wanted = {name: {_module(each.module, of) for each in imports(file)} - {"", name} for name, file in of.items()}
    while free := [name for name, wants in wanted.items() if not wants & wanted.keys()]:
        for name in free:
            del wanted[name]  # nothing that is left stands below it
    while unused := wanted.keys() - {each for wants in wanted.values() for each in wants}:
        for name in unused:
            del wanted[name]  # it is in no circle, and only imports one
    return [f"{of[name].path} is in a circle with {sorted(wants & wanted.keys())}" for name, wants in wanted.items()]


def _module(name: str, known: Collection[str]) -> str:
    """The file of ours that a name is imported from; nothing for anybody else's."""
    while name and name not in known:
        name = name.rpartition(".")[0]
    return name


def wordless(files: list[File]) -> list[str]:
    """Files that do not begin by saying what they own."""
    return [f"{file.path}: no module docstring" for file in files if not ast.get_docstring(ast.parse(file.source))]


def _called(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


@pytest.fixture(scope="module")
def house() -> list[File]:
    folders = ("relay", "workers")
    paths = sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    kept = [path for path in paths if "node_modules" not in path.parts]
    return [File(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")) for path in kept]


def test_every_file_imports_only_from_floors_above_its_own(house: list[File]) -> None:
    assert broken_imports(house) == []


def test_rules_have_no_clock_no_chance_and_never_wait(house: list[File]) -> None:
    assert impure_rules(house) == []


def test_every_file_belongs_to_a_floor(house: list[File]) -> None:
    assert unclaimed(house) == []


def test_no_function_is_longer_than_a_screen(house: list[File]) -> None:
    assert too_long(house) == []


def test_no_files_import_each_other_in_a_circle(house: list[File]) -> None:
    assert circles(house) == []


def test_every_file_says_what_it_owns(house: list[File]) -> None:
    assert wordless(house) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("relay/rules/x.py", "import time"),
        ("relay/rules/x.py", "import redis.asyncio"),
        ("relay/rules/x.py", "from prometheus_client import Counter"),
        ("relay/rules/x.py", "from websockets.utils import apply_mask"),
        ("relay/rules/x.py", "def f():\n    import asyncio"),
        ("relay/rules/x.py", "from relay.store import keys"),
        ("relay/rules/x.py", "from ..store import keys"),
        ("relay/rules/x.py", "from .. import store"),
        ("relay/errors.py", "from relay.rules import limits"),
        ("relay/registry/x.py", "import redis"),
        ("relay/store/x.py", "from starlette.routing import Route"),
        ("relay/store/x.py", "from relay.registry.machines import Machines"),
        ("relay/node/x.py", "from relay.web.site import create_web"),
        ("relay/client/x.py", "from relay.store import keys"),
        ("relay/agent/x.py", "def f():\n    from relay import registry"),
        ("relay/agent/x.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from relay.web import site"),
        ("relay/app.py", "import relay.agent.serve"),
        ("relay/app.py", "from relay import agent"),
        ("relay/web/x.py", "from relay import app"),
        ("workers/x.py", "from relay.node import hub"),
        ("relay/dev/x.py", "from relay.cli import main"),
        ("relay/cli/x.py", "from relay.registry.registry import Registry"),
        ("relay/cli/x.py", "import redis"),
        ("relay/store/x.py", "from tests.support import valkey"),
    ],
)
def test_an_import_against_the_table_is_found(path: str, source: str) -> None:
    assert broken_imports([File(path, source)])


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("relay/cli/x.py", "def f():\n    from relay.registry.registry import Registry\n    import redis"),
        ("relay/web/x.py", "from relay.node import hub\nfrom relay import errors, VERSION"),
        ("relay/agent/x.py", "from relay.client.dial import Socket\nimport asyncio, time"),
        ("relay/dev/x.py", "from relay import app\nfrom workers import process"),
        ("relay/settings.py", "from relay.errors import Misconfigured"),
        ("relay/rules/x.py", "from websockets.speedups import apply_mask"),
    ],
)
def test_an_import_along_the_table_is_not(path: str, source: str) -> None:
    assert broken_imports([File(path, source)]) == []


@pytest.mark.parametrize(
    "source", ["async def f(): ...", "import uuid\nuuid.uuid4()", "datetime.now(UTC)", "open('x')"]
)
def test_an_impure_rule_is_found(source: str) -> None:
    assert impure_rules([File("relay/rules/x.py", source)])


def test_a_file_that_no_floor_claims_is_found() -> None:
    assert unclaimed([File("relay/utils.py", ""), File("relay/helpers/x.py", "")]) != []


def test_a_long_function_and_a_wide_constructor_are_found() -> None:
    fits = "def f():\n" + "    x = 1\n" * BODY_LINES
    assert too_long([File("relay/x.py", fits)]) == []
    assert too_long([File("relay/x.py", fits + "    x = 1\n")])
    assert too_long([File("relay/x.py", "class C:\n    def __init__(self, a, b, c, d, e, f): ...")]) == []
    assert too_long([File("relay/x.py", "class C:\n    def __init__(self, a, b, c, d, e, f, *, g): ...")])


def test_a_circle_of_files_is_found_and_whoever_imports_it_is_not_in_it() -> None:
    above = File("relay/above.py", "from relay.one import One")
    one = File("relay/one.py", "if TYPE_CHECKING:\n    from relay.two import Two")
    two = File("relay/two.py", "def f():\n    from relay import one, ground")
    ground = File("relay/ground.py", "import asyncio")
    assert [found.partition(" ")[0] for found in circles([above, one, two, ground])] == [one.path, two.path]
    assert circles([above, one, ground]) == []


def test_a_file_without_a_word_about_itself_is_found() -> None:
    assert wordless([File("relay/x.py", "x = 1")])
