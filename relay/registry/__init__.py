"""Keeps everything that must outlive Redis and every process: one SQL registry, on SQLite or PostgreSQL.

The shape, for those who call it:

    await migrate(url)                        # once per start; any number of processes at once
    registry = await Registry.open(url)       # refuses a registry that is not migrated, or newer than this code
    registry.workspaces   bootstrap, first, create, get, of_person, update
    registry.people       get, rename, create
    registry.members      list, role, set_role, remove
    registry.credentials  find(hashes, now_ms) -> Identity | None, sign_in, create_token, sign_ins, tokens, end, clean
    registry.keys         create, list, revoke
    registry.links        create_sign_in, create_invitation, invitations, withdraw, use_sign_in, accept, clean
    registry.machines     register, settle, get, get_many, list, former, rename, relabel, set_visibility,
                          set_hostname, revoke, revoked, mark, believed_online, clean
    registry.changes      since, latest, head, clean
    registry.audit        page
    registry.census       hanging, machines, rows
    registry.pruning      count, prune
    registry.rhythms      latest, choose
    registry.charter      which registry this is
    await registry.close()

    await back_up(url, path, now_ms)          # into one portable file, while nodes run
    await restore(url, Backup.open(path), …)  # from it, into either database
    await move(url, target_url, now_ms)       # to another database

Times come in as `now_ms`, tokens only as their hashes. Whoever changes access is an `Actor`; the change, its row in
`changes` and its row in the audit trail are one transaction. A database that does not answer raises
`RegistryUnavailable`, an id that is not there `NotFound`, a contradiction `Conflict` or `NameTaken`. Who *may* do
something is decided before (`rules/access.py`); here is only checked what must hold inside the transaction.
"""

from relay.registry.audit import SYSTEM, Actor, AuditPage, Entry
from relay.registry.backup import Backup, back_up
from relay.registry.changes import Change, Head
from relay.registry.charter import Charter
from relay.registry.credentials import Credential, NewSignIn
from relay.registry.keys import Key, KeyRevoked
from relay.registry.links import Invitation, SignedIn
from relay.registry.looking import known_charter, known_rhythm, version
from relay.registry.machines import Machines
from relay.registry.members import Member, Removed
from relay.registry.migrate import migrate
from relay.registry.moving import move
from relay.registry.people import Person
from relay.registry.registration import IsOnline, NewMachine, Registration
from relay.registry.registry import Registry
from relay.registry.restoring import Elsewhere, Restored, restore
from relay.registry.revocation import Revocation, Revoked, RevokedMachine
from relay.registry.settling import Settled
from relay.registry.sightings import Mark
from relay.registry.workspaces import Founded, NameTakeover, Workspace

__all__ = [
    "SYSTEM",
    "Actor",
    "AuditPage",
    "Backup",
    "Change",
    "Charter",
    "Credential",
    "Elsewhere",
    "Entry",
    "Founded",
    "Head",
    "Invitation",
    "IsOnline",
    "Key",
    "KeyRevoked",
    "Machines",
    "Mark",
    "Member",
    "NameTakeover",
    "NewMachine",
    "NewSignIn",
    "Person",
    "Registration",
    "Registry",
    "Removed",
    "Restored",
    "Revocation",
    "Revoked",
    "RevokedMachine",
    "Settled",
    "SignedIn",
    "Workspace",
    "back_up",
    "known_charter",
    "known_rhythm",
    "migrate",
    "move",
    "restore",
    "version",
]
