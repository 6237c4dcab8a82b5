"""A create remembers what its parent showed before it"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("changes", sa.Column("parent_before", sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    op.drop_column("changes", "parent_before")
