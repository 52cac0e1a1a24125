"""Says that a backup of an older version comes back in today's registry, and that nothing is put into a newer one."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from relay.errors import Misconfigured
from relay.registry import Backup, Elsewhere, Registry, back_up, move, restore
from relay.registry.backup import FORMAT, KIND, Header
from relay.registry.database import Database
from relay.registry.migrate import HEAD, MIGRATIONS
from relay.registry.snapshot import NAMES, Tallies, encoded
from tests.registry.acme import DAY_MS, START_MS, Acme
from tests.support.postgres import Postgres

LATER_MS = START_MS + DAY_MS
OLDER = tuple(f"{number:04}" for number in range(1, int(HEAD)))
MADE_BY = "older-than-today"
on_sqlite = pytest.mark.parametrize("url", ["sqlite"], indirect=True)  # whose files can be copied and looked into


async def older(path: Path, revision: str, story: Path) -> None:
    """A registry as the migrations up to `revision` make it, with what the story's registry holds of its tables."""

    def upgrade(connection: Connection) -> None:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, revision)

    database = Database(f"sqlite+aiosqlite:///{path}")
    await database.attempt(lambda connection: connection.run_sync(upgrade))
    await database.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("ATTACH ? AS story", (str(story),))
        for table in tables(connection):
            columns = ", ".join(columns_of(connection, table))
            connection.execute(f"DELETE FROM main.{table}")
            connection.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM story.{table}")
        connection.commit()


def tables(connection: sqlite3.Connection) -> list[str]:
    """Those of ours, what others refer to first."""
    there = {name for (name,) in connection.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'")}
    return [name for name in NAMES if name in there]


def columns_of(connection: sqlite3.Connection, table: str) -> list[str]:
    """Their names, in order."""
    return [str(row[1]) for row in connection.execute(f"PRAGMA main.table_info({table})")]


def backed_up(path: Path, revision: str, file: Path) -> Path:
    """The backup that the code of that version wrote: every table that it knew, and no word of the others."""
    header = Header(kind=KIND, format=FORMAT, schema=revision, relay=MADE_BY, registry="of-old", at_ms=START_MS)
    lines, tallies = [msgspec.json.encode(header)], Tallies()
    with closing(sqlite3.connect(path)) as connection:
        known = tables(connection)
        for table in known:
            columns = columns_of(connection, table)
            types = {row[1]: row[2] for row in connection.execute(f"PRAGMA main.table_info({table})")}
            rows = [
                encoded(
                    [
                        bool(value) if types[name] == "BOOLEAN" else value
                        for name, value in zip(columns, row, strict=True)
                    ]
                )
                for row in connection.execute(f"SELECT {', '.join(columns)} FROM {table}")
            ]
            if rows:
                lines += [msgspec.json.encode({"table": table, "columns": columns}), *rows]
                tallies.add(table, rows)
    content = b"".join(line + b"\n" for line in lines)
    sums = {table: tally for table, tally in tallies.result().items() if table in known}
    end = msgspec.json.encode({"end": sums, "sha256": hashlib.sha256(content).hexdigest()})
    file.write_bytes(content + end + b"\n")
    return file


def of_version(path: Path, version: str) -> str:
    """The registry in this file says that it is of another version; its URL."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (version,))
        connection.commit()
    return f"sqlite+aiosqlite:///{path}"


@pytest.fixture
async def story(acme: Acme) -> Acme:
    """A team with a key and two machines, one of them revoked."""
    await acme.invite("Pia")
    await acme.key()
    await acme.connect(acme.jane, "kept")
    stolen = await acme.connect(acme.jane, "stolen")
    await acme.registry.machines.revoke(stolen.id, acme.as_jane, acme.later())
    await acme.registry.charter(START_MS)
    return acme


@on_sqlite
@pytest.mark.parametrize("revision", OLDER)
async def test_a_backup_of_an_older_version_is_restored_into_todays_registry(
    revision: str, url: str, story: Acme, tmp_path: Path
) -> None:
    await older(tmp_path / "old.db", revision, tmp_path / "registry.db")
    backup = Backup.open(backed_up(tmp_path / "old.db", revision, tmp_path / "backup"))
    assert (backup.header.schema, backup.header.relay) == (revision, MADE_BY)

    place = f"sqlite+aiosqlite:///{tmp_path / 'today.db'}"
    kept = next(machine for machine in await story.registry.machines.list([story.id]) if machine.name == "kept")
    await restore(place, backup, LATER_MS, elsewhere=Elsewhere())
    today = await Registry.open(place)
    assert [machine.name for machine in await today.machines.list([story.id])] == ["kept"]
    assert await today.members.list(story.id) == await story.registry.members.list(story.id)
    assert (await today.charter(LATER_MS)).id, "also if it did not know yet which registry it was"
    assert (await today.rhythms.latest()).revision == 0, "nobody chose any times then"
    assert (await Acme(today, story.workspace, story.owner).connect(story.jane, "newcomer")).name == "newcomer"
    assert kept.id in {machine.id for machine in await today.machines.list([story.id])}
    await today.close()


@on_sqlite
async def test_an_older_backup_brings_no_revoked_machine_back_into_the_registry_that_it_replaces(
    url: str, story: Acme, tmp_path: Path
) -> None:
    await older(tmp_path / "old.db", OLDER[0], tmp_path / "registry.db")
    backup = Backup.open(backed_up(tmp_path / "old.db", OLDER[0], tmp_path / "backup"))
    kept = (await story.registry.machines.list([story.id]))[0]
    await story.registry.machines.revoke(kept.id, story.as_jane, story.later())
    await restore(url, backup, LATER_MS, replace=True)
    again = await Registry.open(url)
    assert await again.machines.list([story.id]) == []
    await again.close()


@on_sqlite
async def test_nothing_is_put_into_a_registry_of_a_newer_version(
    url: str, story: Acme, tmp_path: Path, migrated_file: Path
) -> None:
    await back_up(url, tmp_path / "backup", START_MS)
    shutil.copy(migrated_file, tmp_path / "newer.db")
    newer = of_version(tmp_path / "newer.db", "0099")
    before = (tmp_path / "newer.db").read_bytes()
    for replace in (False, True):
        with pytest.raises(Misconfigured, match="made by a newer Relay: it is at version 0099"):
            await restore(newer, Backup.open(tmp_path / "backup"), LATER_MS, replace=replace)
    with pytest.raises(Misconfigured, match="made by a newer Relay: it is at version 0099"):
        await move(url, newer, START_MS)
    assert (tmp_path / "newer.db").read_bytes() == before
    await (await Registry.open(url)).close()  # it was not moved, and is open as before


@on_sqlite
async def test_a_registry_of_a_newer_version_is_neither_moved_nor_backed_up(
    url: str, story: Acme, tmp_path: Path
) -> None:
    newer = of_version(tmp_path / "registry.db", "0099")
    with pytest.raises(Misconfigured, match="made by a newer Relay: it is at version 0099"):
        await move(newer, f"sqlite+aiosqlite:///{tmp_path / 'elsewhere.db'}", START_MS)
    assert not (tmp_path / "elsewhere.db").exists()
    with pytest.raises(Misconfigured, match="made by a newer Relay: it is at version 0099"):
        await back_up(newer, tmp_path / "backup", START_MS)
    assert not (tmp_path / "backup").exists()


@pytest.mark.xdist_group("postgresql")
@on_sqlite
async def test_an_older_backup_is_restored_on_postgresql_too(
    url: str, story: Acme, postgres: Postgres, tmp_path: Path
) -> None:
    await older(tmp_path / "old.db", OLDER[-1], tmp_path / "registry.db")
    backup = Backup.open(backed_up(tmp_path / "old.db", OLDER[-1], tmp_path / "backup"))
    name = await postgres.create()
    await restore(postgres.url(name), backup, LATER_MS)
    today = await Registry.open(postgres.url(name))
    assert [machine.name for machine in await today.machines.list([story.id])] == ["kept"]
    await today.close()
    await postgres.drop(name)
