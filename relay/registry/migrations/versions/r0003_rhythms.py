"""Let an operator choose the times that a cluster keeps."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Take the step. Without a row the cluster keeps the times that its code names."""
    op.create_table(
        "rhythms",
        sa.Column("revision", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column("set_ms", sa.BigInteger(), nullable=False),
        sa.Column("chosen", sa.Text(), nullable=False),
    )
