"""Says what a backup holds, what comes back from it, and what does not: revoked machines and ended keys."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from relay.errors import Conflict, MachineRevoked, Misconfigured, RegistryUnavailable, Unavailable
from relay.node.changes import Tail
from relay.registry import Actor, Backup, Elsewhere, Registry, back_up, migrate, restore
from relay.registry.changes import Change
from relay.registry.database import Database
from relay.registry.new_file import new_file
from relay.registry.restoring import NUMBERS_AHEAD, VERSIONS_AHEAD
from relay.registry.snapshot import one_moment, tallied
from tests.registry.acme import DAY_MS, START_MS, Acme, make_hash
from tests.registry.test_outages import _free_bytes as free_bytes
from tests.registry.test_outages import small_disk as small_disk

pytestmark = pytest.mark.xdist_group("postgresql")  # most go from one database to the other
# What only one database needs to show: its SQL is the same on the other, where what is restored is read back.
on_sqlite = pytest.mark.parametrize("url", ["sqlite"], indirect=True)
LATER_MS = START_MS + DAY_MS


@pytest.fixture
async def story(acme: Acme) -> Acme:
    """A team with two machines, one revoked, a key, an invitation, and somebody who joined."""
    await acme.invite("Pia")
    await acme.key()
    await acme.connect(acme.jane, "kept")
    stolen = await acme.connect(acme.jane, "stolen")
    await acme.registry.machines.revoke(stolen.id, acme.as_jane, acme.later())
    await acme.registry.links.create_invitation(
        acme.id, "member", "Olga", make_hash(), LATER_MS + DAY_MS, acme.as_jane, acme.now_ms
    )
    return acme


async def restored(elsewhere: str, file: Path, revoked: Sequence[str] = (), **how: bool) -> Registry:
    """The registry that comes of a backup."""
    await restore(elsewhere, Backup.open(file), LATER_MS, elsewhere=Elsewhere(revoked), **how)
    return await Registry.open(elsewhere)


async def test_what_a_backup_holds_comes_back_on_either_database(
    url: str, elsewhere: str, story: Acme, tmp_path: Path
) -> None:
    file = tmp_path / "backup"
    await back_up(url, file, story.now_ms)
    again = await restored(elsewhere, file)
    kept, there = await story.registry.machines.list([story.id]), await again.machines.list([story.id])
    assert [machine.name for machine in there] == ["kept"]
    assert [replace(machine, token_version=1) for machine in there] == kept
    assert await again.members.list(story.id) == await story.registry.members.list(story.id)
    before = [entry.action for entry in (await story.registry.audit.page(story.id, None)).entries]
    assert [entry.action for entry in (await again.audit.page(story.id, None)).entries] == before
    joined = await again.people.create("Olga", LATER_MS)
    assert (await again.people.get(joined.id)).name == "Olga", "what is written next finds its place"
    await again.workspaces.create("more", joined.id, story.as_jane, LATER_MS)
    await again.close()


@on_sqlite
async def test_a_backup_is_its_owners_alone_and_does_not_write_over_another(
    url: str, story: Acme, tmp_path: Path
) -> None:
    file = tmp_path / "backup"
    await back_up(url, file, story.now_ms)
    assert file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(Misconfigured, match="exists already"):
        await back_up(url, file, story.now_ms)
    with pytest.raises(Misconfigured, match="cannot be made: No such file or directory"):
        await back_up(url, tmp_path / "nowhere" / "backup", story.now_ms)


def test_a_file_that_came_while_another_was_written_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "backup"
    writing = new_file(file)
    writing.__enter__().write(b"ours")
    file.write_bytes(b"theirs")
    with pytest.raises(Misconfigured, match="exists already"):
        writing.__exit__(None, None, None)
    assert file.read_bytes() == b"theirs"
    assert list(tmp_path.iterdir()) == [file], "and nothing of ours is left beside it"


async def test_a_backup_is_of_one_moment_while_others_write(url: str, story: Acme) -> None:
    database = Database(url)
    async with one_moment(database) as connection:
        before = await tallied(connection)
        await story.register(story.jane, "newcomer")
        assert await tallied(connection) == before
    async with one_moment(database) as connection:
        assert (await tallied(connection))["machines"].rows == before["machines"].rows + 1
    await database.close()


@on_sqlite
async def test_of_a_backup_that_the_disk_does_not_take_nothing_is_left(
    url: str, story: Acme, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "folder" / "backup"
    file.parent.mkdir()
    await story.registry.charter(story.now_ms)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))  # what a full disk does, to a disk that others need
    try:
        with pytest.raises(Unavailable) as refused:
            await back_up(url, file, story.now_ms)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert refused.value.message == f"{file} cannot be written: File too large; nothing is left of it"
    assert list(file.parent.iterdir()) == []


@on_sqlite
async def test_a_registry_in_use_is_not_written_over(url: str, story: Acme, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    await back_up(url, file, story.now_ms)
    newcomer = await story.connect(story.jane, "newcomer")
    with pytest.raises(Conflict, match="not empty"):
        await restore(url, Backup.open(file), LATER_MS)
    assert (await story.get(newcomer.id)).name == "newcomer"


async def test_a_machine_that_was_revoked_since_stays_revoked(url: str, story: Acme, tmp_path: Path) -> None:
    lost = await story.connect(story.jane, "lost", instance="11111111-1111-4111-8111-111111111111")
    file = tmp_path / "backup"
    await back_up(url, file, story.now_ms)
    await story.registry.machines.revoke(lost.id, story.as_jane, story.later())
    again = await restored(url, file, replace=True)
    assert (await again.machines.get(lost.id, revoked=True)).revoked_ms is not None
    with pytest.raises(MachineRevoked):
        await again.machines.settle(lost.id, 1, LATER_MS)
    with pytest.raises(MachineRevoked):
        await Acme(again, story.workspace, story.owner).register(story.jane, "lost", instance=lost.instance)
    listed = {each.id for each in (await again.machines.revoked(0)).machines}
    assert lost.id in listed, "nodes load the mirror from here"
    await again.close()


@on_sqlite
async def test_a_machine_that_only_redis_knows_as_revoked_stays_revoked(
    url: str, beside: str, story: Acme, tmp_path: Path
) -> None:
    lost = await story.connect(story.jane, "lost")
    file = tmp_path / "backup"
    await back_up(url, file, story.now_ms)
    assert (story.id, lost.id) in set(Backup.open(file).live_machines())
    again = await restored(beside, file, [lost.id, "somebody-elses"])
    assert (await again.machines.get(lost.id, revoked=True)).revoked_ms == LATER_MS
    await again.close()


@on_sqlite
async def test_a_key_that_had_ended_since_stays_ended(url: str, story: Acme, tmp_path: Path) -> None:
    hash = make_hash()
    sign_in = await story.sign_in(story.owner.id, hash)
    file = tmp_path / "backup"
    await back_up(url, file, story.now_ms)
    await story.registry.credentials.end(sign_in, story.owner.id, story.as_jane, story.later())
    again = await restored(url, file, replace=True)
    assert await again.credentials.find([hash], story.now_ms) is None
    await again.close()


@on_sqlite
async def test_what_had_ended_or_was_revoked_and_was_pruned_then_does_not_come_back(
    url: str, story: Acme, tmp_path: Path
) -> None:
    hash, file = make_hash(), tmp_path / "backup"
    lost, sign_in = await story.connect(story.jane, "lost"), await story.sign_in(story.owner.id, hash)
    await back_up(url, file, story.now_ms)
    await story.registry.machines.revoke(lost.id, story.as_jane, story.later())
    await story.registry.credentials.end(sign_in, story.owner.id, story.as_jane, story.later())
    await story.registry.pruning.prune({"machines": story.later(), "credentials": story.later()})
    again = await restored(url, file, replace=True)
    assert await again.credentials.find([hash], story.now_ms) is None
    assert (await again.machines.get(lost.id, revoked=True)).revoked_ms == LATER_MS
    assert lost.id in {each.id for each in (await again.machines.revoked(0)).machines}
    assert [machine.name for machine in await again.machines.list([story.id])] == ["kept"]
    await again.close()


@on_sqlite
async def test_another_registry_knows_nothing_of_what_the_backup_holds(
    url: str, beside: str, story: Acme, tmp_path: Path
) -> None:
    hash, file = make_hash(), tmp_path / "backup"
    await story.sign_in(story.owner.id, hash)
    await back_up(url, file, story.now_ms)
    other = await Registry.open(beside)
    await Acme.found(other)
    await other.charter(START_MS)
    await other.close()
    again = await restored(beside, file, replace=True)
    assert await again.credentials.find([hash], story.now_ms) is not None
    assert [machine.name for machine in await again.machines.list([story.id])] == ["kept"]
    await again.close()


async def test_who_was_removed_or_demoted_since_is_no_more_than_that(url: str, story: Acme, tmp_path: Path) -> None:
    gone, lesser, higher = await story.invite("Gil", "admin"), await story.invite("Les"), await story.invite("Hal")
    passed = await story.connect(gone, "passed", visibility="SHARED")
    file = tmp_path / "backup"
    await back_up(url, file, story.now_ms)
    members = story.registry.members
    await members.remove(story.id, gone.id, story.as_jane, story.later())
    await members.set_role(story.id, lesser.id, "viewer", story.as_jane, story.later())
    await members.set_role(story.id, higher.id, "admin", story.as_jane, story.later())
    done = await restore(url, Backup.open(file), LATER_MS, replace=True)
    assert (done.narrowed.members, done.narrowed.machines) == (2, 1)
    again = await Registry.open(url)
    assert await again.members.role(story.id, gone.id) is None
    assert await again.members.role(story.id, lesser.id) == "viewer"
    assert await again.members.role(story.id, higher.id) == "member", "as the backup says"
    owner = (await again.machines.get(passed.id)).owner
    assert owner is not None
    assert owner.id == story.owner.id
    await again.close()


@on_sqlite
async def test_a_workspace_that_changed_hands_since_stays_with_its_new_owner(
    url: str, story: Acme, tmp_path: Path
) -> None:
    file = tmp_path / "backup"
    hers = await story.connect(story.jane, "hers", visibility="PRIVATE")
    ours = await story.connect(story.jane, "ours", visibility="SHARED")
    await back_up(url, file, story.now_ms)
    olga = await story.invite("Olga", "owner")  # whom the backup does not know
    await story.registry.members.remove(story.id, story.owner.id, Actor.of(olga), story.later())
    again = await restored(url, file, replace=True)
    roles = {member.person.name: member.role for member in await again.members.list(story.id)}
    assert roles == {"Olga": "owner", "Pia": "member"}
    assert (await again.machines.get(hers.id, revoked=True)).revoked_ms is not None
    owner = (await again.machines.get(ours.id)).owner
    assert owner is not None
    assert owner.id == olga.id
    await again.close()


async def test_a_machine_that_was_hidden_since_stays_hidden(url: str, story: Acme, tmp_path: Path) -> None:
    bare = await story.connect(story.jane, "mac", visibility="SHARED")
    private = await story.connect(story.jane, "studio", visibility="PRIVATE")
    shown = await story.connect(story.jane, "shown", visibility="PRIVATE")
    taken = await story.connect(story.jane, "taken", visibility="SHARED")
    file = tmp_path / "backup"
    await back_up(url, file, story.now_ms)
    machines = story.registry.machines
    await machines.set_visibility(bare.id, "PRIVATE", story.as_jane, story.later())
    await machines.set_visibility(shown.id, "SHARED", story.as_jane, story.later())
    await machines.rename(private.id, "other", story.as_jane, story.later())
    await machines.rename(taken.id, "studio", story.as_jane, story.later())
    await machines.rename(private.id, "taken", story.as_jane, story.later())
    await machines.set_visibility(taken.id, "PRIVATE", story.as_jane, story.later())
    again = await restored(url, file, replace=True)
    seen = {each.id: each for each in await again.machines.list([story.id])}
    assert {seen[each.id].visibility for each in (bare, private, shown, taken)} == {"PRIVATE"}
    assert seen[bare.id].name_held
    await again.close()


@on_sqlite
async def test_a_hidden_machine_loses_its_name_to_one_that_has_it_there(url: str, story: Acme, tmp_path: Path) -> None:
    here = await story.connect(story.jane, "studio", visibility="SHARED")
    there = await story.connect(story.jane, "studio", visibility="PRIVATE")
    file = tmp_path / "backup"
    await back_up(url, file, story.now_ms)
    await story.registry.machines.rename(here.id, "mac", story.as_jane, story.later())
    await story.registry.machines.set_visibility(here.id, "PRIVATE", story.as_jane, story.later())
    again = await restored(url, file, replace=True)
    seen = await again.machines.get(here.id)
    assert (seen.visibility, seen.name, seen.name_held, seen.shadowed_by) == ("PRIVATE", "studio", False, there.id)
    await again.close()


@on_sqlite
async def test_an_invitation_of_before_is_over(url: str, beside: str, story: Acme, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    await back_up(url, file, story.now_ms)
    assert len(await story.registry.links.invitations(story.id, LATER_MS)) == 1
    again = await restored(beside, file)
    assert await again.links.invitations(story.id, LATER_MS) == []
    await again.close()


@on_sqlite
async def test_numbers_of_changes_and_of_tokens_go_on_above_all_that_were_given_out(
    url: str, beside: str, story: Acme, tmp_path: Path
) -> None:
    machine = await story.connect(story.jane, "again", instance="22222222-2222-4222-8222-222222222222")
    file = tmp_path / "backup"
    await back_up(url, file, story.now_ms)
    since = await story.register(story.jane, "again", instance=machine.instance)
    latest = await story.registry.changes.latest()
    again = await restored(beside, file)
    assert await again.changes.latest() > latest + NUMBERS_AHEAD / 2
    first = await again.changes.latest()
    newer = await Acme(again, story.workspace, story.owner).register(story.jane, "again", instance=machine.instance)
    assert newer.machine.id == machine.id
    assert newer.token_version > since.token_version + VERSIONS_AHEAD / 2
    await again.close()
    await restore(elsewhere := f"{beside}2", Backup.open(file), LATER_MS, elsewhere=Elsewhere(upto=first))
    again = await Registry.open(elsewhere)
    assert await again.changes.latest() > first, "also where all that is left of the first restoring is in Redis"
    await again.close()


@on_sqlite
async def test_a_node_that_runs_meanwhile_notices_and_begins_anew(url: str, story: Acme, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    await back_up(url, file, story.now_ms)
    await story.register(story.jane, "newcomer")
    tail, acted, anew = Tail(story.registry), list[Change](), list[int]()
    tail.listen(acted.extend, lambda: anew.append(tail.number))
    await tail.begin()
    await restore(url, Backup.open(file), LATER_MS, replace=True)
    await tail.look()
    assert anew == [await story.registry.changes.latest()]
    await story.register(story.jane, "after")
    await tail.look()
    assert len(anew) == 1, "and then it follows as before"


@on_sqlite
async def test_a_copy_is_a_registry_of_its_own(url: str, beside: str, story: Acme, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    await back_up(url, file, story.now_ms)
    original = await story.registry.charter(START_MS)
    copied = await restored(beside, file, copy=True)
    assert (await copied.charter(LATER_MS)).id != original.id
    await copied.close()
    moved = await restored(beside, file, replace=True)
    assert (await moved.charter(LATER_MS)).id == original.id
    await moved.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A backup of a registry, from SQLite."""

    async def make() -> Path:
        place = f"sqlite+aiosqlite:///{tmp_path / 'small.db'}"
        await migrate(place)
        registry = await Registry.open(place)
        await Acme.found(registry)
        await registry.close()
        await back_up(place, tmp_path / "small", START_MS)
        return tmp_path / "small"

    return asyncio.run(make())


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b'"Jane"', b'"Mallory"', "damaged: its checksum is another"),
        (b'{"end"', b'{"and"', "damaged: a line of it is no JSON of ours"),
        (b'"people"', b'"pebble"', "damaged: it has a table 'pebble' that this Relay does not know so"),
        (b'"relay-registry-backup"', b'"something-else"', "is no backup of a registry"),
        (b'"schema":"', b'"schema":"9', "was made by a newer Relay"),
        (b'"format":1', b'"format":2', "was made by a newer Relay"),
    ],
)
def test_a_file_that_is_not_what_it_was_is_refused_before_anything_is_touched(
    file: Path, old: bytes, new: bytes, words: str
) -> None:
    content = file.read_bytes()
    assert old in content
    file.write_bytes(content.replace(old, new, 1))
    with pytest.raises(Misconfigured) as refused:
        Backup.open(file)
    assert words in refused.value.message
    assert refused.value.exit == 78


def test_a_file_that_was_cut_short_is_refused(file: Path) -> None:
    lines = file.read_bytes().splitlines(keepends=True)
    for kept in (0, 1, len(lines) // 2, len(lines) - 1):
        file.write_bytes(b"".join(lines[:kept]))
        with pytest.raises(Misconfigured):
            Backup.open(file)
    file.write_bytes(b"".join(lines) + b"more\n")
    with pytest.raises(Misconfigured, match="checksum"):
        Backup.open(file)


async def test_rows_that_contradict_each_other_are_one_clear_line_and_nothing_is_written(
    file: Path, elsewhere: str
) -> None:
    backup = Backup.open(file)
    people = _without(file, b'{"table":"people"')  # so that a member of a workspace is nobody
    with pytest.raises(Misconfigured, match="rows of members do not fit into this registry"):
        await restore(elsewhere, Backup(people, backup.header, backup.tallies), LATER_MS)
    again = await restored(elsewhere, file)
    assert await again.workspaces.first() is not None
    await again.close()


def _without(file: Path, table: bytes) -> Path:
    lines = file.read_bytes().splitlines(keepends=True)
    at = next(number for number, line in enumerate(lines) if line.startswith(table))
    other = file.with_name("other")
    other.write_bytes(b"".join(lines[:at] + lines[at + 2 :]))
    return other


async def test_of_a_restore_that_finds_the_disk_full_nothing_is_left(tmp_path: Path, small_disk: Path) -> None:
    """The registry's own disk, and not the backup's."""
    large = f"sqlite+aiosqlite:///{tmp_path / 'large.db'}"
    await migrate(large)
    registry = await Registry.open(large)
    await registry.people.create("x" * 500_000, START_MS)
    await registry.close()
    await back_up(large, tmp_path / "large", START_MS)
    place = f"sqlite+aiosqlite:///{small_disk / 'registry.db'}"
    await migrate(place)
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(free_bytes(small_disk) - 200_000))
    backup = Backup.open(tmp_path / "large")
    with pytest.raises(RegistryUnavailable, match="full"):
        await restore(place, backup, LATER_MS)
    ballast.unlink()
    await restore(place, backup, LATER_MS)  # which it would refuse if there were anything
