"""What a run counts of milestones that agree, so that it need not look at them"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("links", schema=None) as batch_op:
        batch_op.add_column(sa.Column("agreed_counts", sa.Text(), nullable=True))
        batch_op.add_column(sa.Column("agreed_until", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("links", schema=None) as batch_op:
        batch_op.drop_column("agreed_until")
        batch_op.drop_column("agreed_counts")
