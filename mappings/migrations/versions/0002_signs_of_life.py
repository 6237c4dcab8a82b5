"""When a run last gave a sign of life, when it is due again, when a pair was paused"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("runs", schema=None) as batch_op:
        batch_op.add_column(sa.Column("heartbeat_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("due_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(
            sa.Column("exclusive", sa.Boolean(), nullable=False, server_default=sa.true())
        )
    with op.batch_alter_table("pairs", schema=None) as batch_op:
        batch_op.add_column(sa.Column("paused_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("refused_credentials", sa.Text(), nullable=True))
    # what was paused is tried once more, and tells its reason as it is told now
    op.execute("UPDATE pairs SET paused_because = NULL")


def downgrade() -> None:
    with op.batch_alter_table("pairs", schema=None) as batch_op:
        batch_op.drop_column("refused_credentials")
        batch_op.drop_column("paused_at")
    with op.batch_alter_table("runs", schema=None) as batch_op:
        batch_op.drop_column("exclusive")
        batch_op.drop_column("due_at")
        batch_op.drop_column("heartbeat_at")
