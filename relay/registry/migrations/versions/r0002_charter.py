"""Let a registry know which one it is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Take the step. The row is made by the first who asks for it."""
    op.create_table(
        "charter",
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("moved_to", sa.Text()),
        sa.Column("moved_ms", sa.BigInteger()),
    )
