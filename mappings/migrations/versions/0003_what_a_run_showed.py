"""What a run could not carry exactly and what it verified, and the names of the projects"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("runs", schema=None) as batch_op:
        batch_op.add_column(sa.Column("not_exact", sa.JSON(), nullable=False, server_default="{}"))
        batch_op.add_column(sa.Column("verified", sa.JSON(), nullable=True))
    with op.batch_alter_table("pairs", schema=None) as batch_op:
        batch_op.add_column(sa.Column("testrail_name", sa.Text(), nullable=True))
        batch_op.add_column(sa.Column("testably_name", sa.Text(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("pairs", schema=None) as batch_op:
        batch_op.drop_column("testably_name")
        batch_op.drop_column("testrail_name")
    with op.batch_alter_table("runs", schema=None) as batch_op:
        batch_op.drop_column("verified")
        batch_op.drop_column("not_exact")
