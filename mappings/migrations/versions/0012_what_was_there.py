"""A create remembers what was there before that could be taken for it"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("links", sa.Column("attempt_before", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("links", "attempt_before")
