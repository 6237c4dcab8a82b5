"""A delivery remembers the pairs that have read what it hints at"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("deliveries", sa.Column("read_by", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("deliveries", "read_by")
