"""Make the first registry."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_COUNTING = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_LIVE = sa.text("revoked_ms IS NULL")
_HELD = sa.text("name_held AND revoked_ms IS NULL")
_REVOKED = sa.text("revoked_number IS NOT NULL")


def upgrade() -> None:
    """Take the step."""
    _make_teams()
    _make_credentials()
    _make_links()
    _make_machines()
    _index_machines()
    _make_registrations()
    _make_trail()
    op.execute("INSERT INTO counters (name, value) VALUES ('changes', 0)")


def _make_teams() -> None:
    op.create_table(
        "people",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "workspaces",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("name_takeover", sa.String(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "members",
        sa.Column("workspace", sa.String(), sa.ForeignKey("workspaces.id"), nullable=False),
        sa.Column("person", sa.String(), sa.ForeignKey("people.id"), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("joined_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "person"),
    )
    op.create_index("members_person", "members", ["person"])


def _make_credentials() -> None:
    op.create_table(
        "credentials",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False, unique=True),
        sa.Column("person", sa.String(), sa.ForeignKey("people.id")),
        sa.Column("workspace", sa.String(), sa.ForeignKey("workspaces.id")),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger()),
        sa.Column("ended_ms", sa.BigInteger()),
    )
    op.create_index("credentials_person", "credentials", ["person"])
    op.create_index("credentials_workspace", "credentials", ["workspace"])


def _make_links() -> None:
    op.create_table(
        "links",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False, unique=True),
        sa.Column("person", sa.String(), sa.ForeignKey("people.id")),
        sa.Column("workspace", sa.String(), sa.ForeignKey("workspaces.id")),
        sa.Column("role", sa.String()),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column("used_ms", sa.BigInteger()),
    )
    op.create_index("links_workspace", "links", ["workspace"])


def _make_machines() -> None:
    op.create_table(
        "machines",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("workspace", sa.String(), sa.ForeignKey("workspaces.id"), nullable=False),
        sa.Column("owner", sa.String(), sa.ForeignKey("people.id")),
        sa.Column("key", sa.String()),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("folded", sa.Text(), nullable=False),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("hostname", sa.Text(), nullable=False),
        sa.Column("visibility", sa.String(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("instance", sa.String(), nullable=False),
        sa.Column("token_version", sa.Integer(), nullable=False),
        sa.Column("settled_version", sa.Integer(), nullable=False),
        sa.Column("name_held", sa.Boolean(), nullable=False),
        sa.Column("name_chosen", sa.Boolean(), nullable=False),
        sa.Column("named_ms", sa.BigInteger(), nullable=False),
        sa.Column("shadowed_by", sa.String()),
        sa.Column("ephemeral", sa.Boolean(), nullable=False),
        sa.Column("last_seen_ms", sa.BigInteger()),
        sa.Column("offline_reason", sa.String()),
        sa.Column("fence", sa.Text()),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("revoked_ms", sa.BigInteger()),
        sa.Column("revoked_number", sa.BigInteger()),
    )


def _index_machines() -> None:
    op.create_index(
        "machines_name_held",
        "machines",
        ["workspace", "scope", "folded"],
        unique=True,
        sqlite_where=_HELD,
        postgresql_where=_HELD,
    )
    op.create_index("machines_live", "machines", ["workspace"], sqlite_where=_LIVE, postgresql_where=_LIVE)
    op.create_index("machines_instance", "machines", ["workspace", "instance"])
    op.create_index(
        "machines_revoked", "machines", ["revoked_number"], sqlite_where=_REVOKED, postgresql_where=_REVOKED
    )


def _make_registrations() -> None:
    op.create_table(
        "registrations",
        sa.Column("machine", sa.String(), sa.ForeignKey("machines.id"), nullable=False),
        sa.Column("token_version", sa.Integer(), nullable=False),
        sa.Column("instance", sa.String(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("chosen", sa.Boolean(), nullable=False),
        sa.Column("visibility", sa.String(), nullable=False),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("hostname", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("labels", sa.Text()),
        sa.Column("ephemeral", sa.Boolean(), nullable=False),
        sa.Column("takes", sa.String()),
        sa.Column("actor_kind", sa.String(), nullable=False),
        sa.Column("actor_id", sa.String(), nullable=False),
        sa.Column("actor_name", sa.Text(), nullable=False),
        sa.Column("registered_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("machine", "token_version"),
    )
    op.create_table(
        "revoked_installations",
        sa.Column("workspace", sa.String(), sa.ForeignKey("workspaces.id"), nullable=False),
        sa.Column("instance", sa.String(), nullable=False),
        sa.Column("machine", sa.String(), nullable=False),
        sa.Column("revoked_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "instance"),
    )
    op.create_table(
        "former_names",
        sa.Column("machine", sa.String(), sa.ForeignKey("machines.id"), nullable=False),
        sa.Column("workspace", sa.String(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("until_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("machine", "name"),
    )
    op.create_index("former_names_workspace", "former_names", ["workspace"])


def _make_trail() -> None:
    op.create_table(
        "changes",
        sa.Column("number", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("workspace", sa.String()),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
    )
    op.create_table(
        "counters",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("value", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "audit",
        sa.Column("number", _COUNTING, primary_key=True, autoincrement=True),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("workspace", sa.String()),
        sa.Column("actor_kind", sa.String(), nullable=False),
        sa.Column("actor_id", sa.String(), nullable=False),
        sa.Column("actor_name", sa.Text(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("visible_to", sa.String()),
        sa.Column("detail", sa.Text(), nullable=False),
    )
    op.create_index("audit_workspace", "audit", ["workspace", "number"])
