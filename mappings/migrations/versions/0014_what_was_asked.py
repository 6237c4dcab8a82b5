"""A create remembers the parent that it was sent below, and what a person was asked about"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("links", sa.Column("attempt_asked", sa.JSON(), nullable=True))
    op.add_column("links", sa.Column("attempt_parent", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("links", "attempt_parent")
    op.drop_column("links", "attempt_asked")
