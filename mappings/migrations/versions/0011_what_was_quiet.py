"""What a run read that found nothing to do"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "quiet_readings",
        sa.Column("pair_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("with_target", sa.Boolean(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("links", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=True),
        sa.Column("listed", sa.Boolean(), nullable=False),
        sa.Column("in_step", sa.Integer(), nullable=False),
        sa.Column("exempt", sa.JSON(), nullable=False),
        sa.Column("not_exact", sa.JSON(), nullable=False),
        sa.Column("answered", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["pair_id"], ["pairs.id"], name=op.f("fk_quiet_readings_pair_id")),
        sa.PrimaryKeyConstraint("pair_id", "with_target", name=op.f("pk_quiet_readings")),
    )


def downgrade() -> None:
    op.drop_table("quiet_readings")
