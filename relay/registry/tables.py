"""Declares the registry's tables; the migrations make them, a test holds the two together."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    text,
)

metadata = MetaData()

_COUNTING = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts by itself in an INTEGER primary key only

people = Table(
    "people",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
)

workspaces = Table(
    "workspaces",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", Text, nullable=False),
    Column("name_takeover", String, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
)

members = Table(
    "members",
    metadata,
    Column("workspace", String, ForeignKey("workspaces.id"), nullable=False),
    Column("person", String, ForeignKey("people.id"), nullable=False),
    Column("role", String, nullable=False),
    Column("joined_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("workspace", "person"),
    Index("members_person", "person"),
)

# Sign-ins ("web", "cli") and personal tokens ("pat") have a person, workspace keys ("team") a workspace. One table, so
# that whoever shows a token is found by one query.
credentials = Table(
    "credentials",
    metadata,
    Column("id", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("hash", String, nullable=False, unique=True),
    Column("person", String, ForeignKey("people.id")),
    Column("workspace", String, ForeignKey("workspaces.id")),
    Column("name", Text, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger),
    Column("ended_ms", BigInteger),
    Index("credentials_person", "person"),
    Index("credentials_workspace", "workspace"),
)

# Sign-in links ("sign-in") have a person, invitations ("invitation") a workspace and a role.
links = Table(
    "links",
    metadata,
    Column("id", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("hash", String, nullable=False, unique=True),
    Column("person", String, ForeignKey("people.id")),
    Column("workspace", String, ForeignKey("workspaces.id")),
    Column("role", String),
    Column("name", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("used_ms", BigInteger),
    Index("links_workspace", "workspace"),
)

machines = Table(
    "machines",
    metadata,
    Column("id", String, primary_key=True),
    Column("workspace", String, ForeignKey("workspaces.id"), nullable=False),
    Column("owner", String, ForeignKey("people.id")),
    Column("key", String),  # the workspace key that registered it last
    Column("name", Text, nullable=False),
    Column("folded", Text, nullable=False),  # the name as it is compared
    Column("scope", String, nullable=False),  # within what the name is unique: "shared", or the owner of PRIVATE ones
    Column("hostname", Text, nullable=False),
    Column("visibility", String, nullable=False),
    Column("version", Text, nullable=False),
    Column("labels", Text, nullable=False),  # JSON
    Column("instance", String, nullable=False),
    Column("token_version", Integer, nullable=False),  # the highest given out
    Column("settled_version", Integer, nullable=False),  # the highest that said hello
    Column("name_held", Boolean, nullable=False),
    Column("name_chosen", Boolean, nullable=False),
    Column("named_ms", BigInteger, nullable=False),  # when somebody last asked for this name: the newest has it
    Column("shadowed_by", String),
    Column("ephemeral", Boolean, nullable=False),
    Column("last_seen_ms", BigInteger),
    Column("offline_reason", String),
    Column("fence", Text),  # under which it was last marked
    Column("created_ms", BigInteger, nullable=False),
    Column("revoked_ms", BigInteger),
    Column("revoked_number", BigInteger),  # of the change that revoked it
)

_LIVE = "revoked_ms IS NULL"
_HELD = f"name_held AND {_LIVE}"
Index(
    "machines_name_held",
    machines.c.workspace,
    machines.c.scope,
    machines.c.folded,
    unique=True,
    sqlite_where=text(_HELD),
    postgresql_where=text(_HELD),
)
Index("machines_live", machines.c.workspace, sqlite_where=text(_LIVE), postgresql_where=text(_LIVE))
Index("machines_instance", machines.c.workspace, machines.c.instance)
Index(
    "machines_revoked",
    machines.c.revoked_number,
    sqlite_where=text("revoked_number IS NOT NULL"),
    postgresql_where=text("revoked_number IS NOT NULL"),
)

# What an agent asked for with each token version. Nothing of it shows before that version says hello; afterwards the
# rows remember which installations a machine was, for the day it is revoked.
registrations = Table(
    "registrations",
    metadata,
    Column("machine", String, ForeignKey("machines.id"), nullable=False),
    Column("token_version", Integer, nullable=False),
    Column("instance", String, nullable=False),
    Column("name", Text, nullable=False),
    Column("chosen", Boolean, nullable=False),
    Column("visibility", String, nullable=False),
    Column("scope", String, nullable=False),
    Column("hostname", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("labels", Text),
    Column("ephemeral", Boolean, nullable=False),
    Column("takes", String),  # the machine that is to lose the name
    Column("actor_kind", String, nullable=False),
    Column("actor_id", String, nullable=False),
    Column("actor_name", Text, nullable=False),
    Column("registered_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("machine", "token_version"),
)

revoked_installations = Table(
    "revoked_installations",
    metadata,
    Column("workspace", String, ForeignKey("workspaces.id"), nullable=False),
    Column("instance", String, nullable=False),
    Column("machine", String, nullable=False),
    Column("revoked_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("workspace", "instance"),
)

former_names = Table(
    "former_names",
    metadata,
    Column("machine", String, ForeignKey("machines.id"), nullable=False),
    Column("workspace", String, nullable=False),
    Column("name", Text, nullable=False),  # a name or a hostname
    Column("until_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("machine", "name"),
    Index("former_names_workspace", "workspace"),
)

changes = Table(
    "changes",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("kind", String, nullable=False),
    Column("workspace", String),
    Column("subject", String, nullable=False),
    Column("detail", Text, nullable=False),  # JSON
)

# One row per counter. Writers hold its lock until they commit, so numbers become visible in order and without holes;
# a sequence would promise neither.
counters = Table(
    "counters",
    metadata,
    Column("name", String, primary_key=True),
    Column("value", BigInteger, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("number", _COUNTING, primary_key=True, autoincrement=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("workspace", String),
    Column("actor_kind", String, nullable=False),
    Column("actor_id", String, nullable=False),
    Column("actor_name", Text, nullable=False),
    Column("action", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("visible_to", String),  # the owner of a PRIVATE machine; NULL: whoever may read the trail
    Column("detail", Text, nullable=False),  # JSON
    Index("audit_workspace", "workspace", "number"),
)

# One row: which registry this is, and where its content went if it was moved away.
charter = Table(
    "charter",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("id", String, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("moved_to", Text),
    Column("moved_ms", BigInteger),
)

# The times that an operator chose for the cluster: the row with the highest revision counts, those before it are kept.
rhythms = Table(
    "rhythms",
    metadata,
    Column("revision", Integer, primary_key=True, autoincrement=False),
    Column("from_ms", BigInteger, nullable=False),  # by Redis's clock: the moment at which everybody takes it up
    Column("set_ms", BigInteger, nullable=False),
    Column("chosen", Text, nullable=False),  # JSON: name of a time -> seconds
)
