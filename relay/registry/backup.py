"""Writes a registry into one portable file, and reads such a file back after checking every byte of it.

The file is lines of JSON: a header; for each table its name and columns, and then its rows as arrays; and an end with
each table's tally and the SHA-256 of all lines before it. It is the same from SQLite and from PostgreSQL.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import msgspec
from msgspec import Struct

from relay import VERSION
from relay.errors import Misconfigured
from relay.registry.charter import which
from relay.registry.database import PATIENT_SECONDS, Database
from relay.registry.migrate import HEAD, check_version
from relay.registry.new_file import new_file
from relay.registry.snapshot import TABLES, Part, Tallies, Tally, differences, encoded, one_moment, parts

FORMAT = 1  # raised when a file of this kind is read differently
KIND = "relay-registry-backup"
READ_ROWS = 500  # handed on at once


class Header(Struct, frozen=True, rename="camel", kw_only=True):
    """The first line: what this is, and of which registry and moment."""

    kind: str
    format: int
    schema: str
    relay: str
    registry: str
    at_ms: int


class _Table(Struct, frozen=True):
    table: str
    columns: tuple[str, ...]


class _End(Struct, frozen=True):
    end: dict[str, Tally]
    sha256: str


class Written(Struct, frozen=True):
    """A backup that is on disk."""

    bytes: int
    tallies: dict[str, Tally]


async def back_up(url: str, path: Path, now_ms: int) -> Written:
    """Write everything that the registry at `url` has into a new file, which appears whole or not at all, while nodes
    go on. Raises `Misconfigured` for a place where no file can be made, `Unavailable` for a full disk or a registry
    that does not answer."""
    database = Database(url, answer_seconds=PATIENT_SECONDS)
    try:
        await check_version(database)
        return await _write(database, path, now_ms)
    finally:
        await database.close()


async def _write(database: Database, path: Path, now_ms: int) -> Written:
    identity = await which(database, now_ms)
    tallies = Tallies()
    digest = hashlib.sha256()
    with new_file(path) as file:

        def put(*lines: bytes) -> None:
            text = b"".join(line + b"\n" for line in lines)
            digest.update(text)
            file.write(text)

        header = Header(kind=KIND, format=FORMAT, schema=HEAD, relay=VERSION, registry=identity.id, at_ms=now_ms)
        put(msgspec.json.encode(header))
        table = ""
        async with one_moment(database) as connection:
            async for part in parts(connection):
                if part.table != table:
                    table = part.table
                    put(msgspec.json.encode(_Table(table, part.columns)))
                lines = [encoded(row) for row in part.rows]
                tallies.add(table, lines)
                put(*lines)
        file.write(msgspec.json.encode(_End(tallies.result(), digest.hexdigest())) + b"\n")
    return Written(file.bytes, tallies.result())


class Backup:
    """A file that was read once from end to end and is what it says."""

    def __init__(self, path: Path, header: Header, tallies: dict[str, Tally]) -> None:
        self._path = path
        self.header = header
        self.tallies = tallies

    @classmethod
    def open(cls, path: Path) -> Backup:
        """Check the whole file; raises `Misconfigured` for one that is damaged, cut short, of a newer Relay, or no
        backup at all."""
        try:
            with path.open("rb") as file:
                return cls(path, *_checked(path, file))
        except OSError as error:
            raise Misconfigured(f"{path} cannot be read: {error.strerror}") from None

    def parts(self) -> Iterator[Part]:
        """All rows, in an order in which they can be inserted."""
        with self._path.open("rb") as file:
            next(file)
            yield from _parts(file)

    def live_machines(self) -> Iterator[tuple[str, str]]:
        """The (workspace, id) of each machine that had not been revoked."""
        for part in self.parts():
            if part.table == "machines":
                for row in part.rows:
                    values = dict(zip(part.columns, row, strict=True))
                    if values["revoked_ms"] is None:
                        yield values["workspace"], values["id"]


def _checked(path: Path, file: IO[bytes]) -> tuple[Header, dict[str, Tally]]:
    first = file.readline()
    header = _header(path, first)
    digest, tallies, table = hashlib.sha256(first), Tallies(), ""
    known = {each.name: set(each.columns.keys()) for each in TABLES}
    for line in file:
        if line.startswith(b'{"end"'):
            end = _decoded(path, line, _End)
            if end.sha256 != digest.hexdigest() or differences(tallies.result(), end.end) or file.readline():
                raise _damaged(path, "its checksum is another")
            return header, end.end
        digest.update(line)
        if line.startswith(b"{"):
            described = _decoded(path, line, _Table)
            table = described.table
            if table not in known or not set(described.columns) <= known[table]:
                raise _damaged(path, f"it has a table {table!r} that this Relay does not know so")
        elif not table:
            raise _damaged(path, "it has rows of no table")
        else:
            tallies.add(table, [line.rstrip(b"\n")])
    raise _damaged(path, "it is cut short")


def _header(path: Path, line: bytes) -> Header:
    try:
        header = msgspec.json.decode(line, type=Header)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Misconfigured(f"{path} is no backup of a registry") from None
    if header.kind != KIND:
        raise Misconfigured(f"{path} is no backup of a registry")
    if header.format > FORMAT or header.schema > HEAD:
        raise Misconfigured(
            f"{path} was made by a newer Relay ({header.relay}): it is of format {header.format} and version "
            f"{header.schema}, and this code knows {FORMAT} and {HEAD}; install the newer Relay here"
        )
    return header


def _decoded(path: Path, line: bytes, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(line, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise _damaged(path, "a line of it is no JSON of ours") from None


def _damaged(path: Path, why: str) -> Misconfigured:
    return Misconfigured(f"{path} is damaged: {why}")


def _parts(file: IO[bytes]) -> Iterator[Part]:
    table, rows = _Table("", ()), []
    for line in file:
        if line.startswith(b"["):
            rows.append(msgspec.json.decode(line))
            if len(rows) < READ_ROWS:
                continue
        if rows:
            yield Part(table.table, table.columns, rows)
            rows = []
        if line.startswith(b'{"table"'):
            table = msgspec.json.decode(line, type=_Table)
