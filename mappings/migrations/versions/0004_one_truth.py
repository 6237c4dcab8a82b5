"""What differs and cannot be mended, field by field, and when a pair was found to differ"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

NOTHING = sa.text("'{}'")


def upgrade() -> None:
    with op.batch_alter_table("links", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("field_problems", sa.JSON(), nullable=False, server_default=NOTHING)
        )
        batch_op.add_column(sa.Column("sent", sa.JSON(), nullable=False, server_default=NOTHING))
        batch_op.add_column(
            sa.Column("has_children", sa.Boolean(), nullable=False, server_default=sa.false())
        )
        batch_op.add_column(sa.Column("attempt_newest", sa.Text(), nullable=True))
        batch_op.add_column(
            sa.Column("open_problems", sa.Integer(), nullable=False, server_default="0")
        )
        batch_op.add_column(
            sa.Column("accepted_problems", sa.Integer(), nullable=False, server_default="0")
        )
        batch_op.add_column(sa.Column("trouble_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.drop_column("refused")
        batch_op.drop_column("overwrote")
        batch_op.drop_column("told")
    with op.batch_alter_table("pairs", schema=None) as batch_op:
        batch_op.add_column(sa.Column("open_word", sa.Text(), nullable=True))
        batch_op.add_column(sa.Column("drifted_at", sa.DateTime(timezone=True), nullable=True))
    # every field is decided anew, so that what was refused or altered before is found again
    op.execute("UPDATE links SET target_print = NULL")
    op.execute("UPDATE links SET open_problems = 1 WHERE trouble_kind IS NOT NULL")
    op.execute(
        "UPDATE links SET trouble_kind = 'held', open_problems = 1,"
        " trouble_reason = 'An undo took it back.' WHERE state = 'held'"
    )


def downgrade() -> None:
    with op.batch_alter_table("pairs", schema=None) as batch_op:
        batch_op.drop_column("drifted_at")
        batch_op.drop_column("open_word")
    with op.batch_alter_table("links", schema=None) as batch_op:
        batch_op.add_column(sa.Column("told", sa.JSON(), nullable=False, server_default=NOTHING))
        batch_op.add_column(
            sa.Column("overwrote", sa.JSON(), nullable=False, server_default=NOTHING)
        )
        batch_op.add_column(sa.Column("refused", sa.JSON(), nullable=False, server_default=NOTHING))
        batch_op.drop_column("trouble_at")
        batch_op.drop_column("accepted_problems")
        batch_op.drop_column("open_problems")
        batch_op.drop_column("attempt_newest")
        batch_op.drop_column("has_children")
        batch_op.drop_column("sent")
        batch_op.drop_column("field_problems")
