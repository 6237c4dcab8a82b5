"""What needs a person is found without a look at every link"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

NAME = "ix_links_open_problems"
WHERE = sa.text("open_problems > 0")


def upgrade() -> None:
    op.create_index(NAME, "links", ["pair_id"], sqlite_where=WHERE, postgresql_where=WHERE)


def downgrade() -> None:
    op.drop_index(NAME, "links")
