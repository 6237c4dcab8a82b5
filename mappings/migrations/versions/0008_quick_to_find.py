"""History by a Testably id, open runs and what was accepted are found by an index"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

ACCEPTED = "ix_links_accepted_problems"
WHERE = sa.text("accepted_problems > 0")


def upgrade() -> None:
    op.create_index(ACCEPTED, "links", ["pair_id"], sqlite_where=WHERE, postgresql_where=WHERE)
    op.create_index(op.f("ix_changes_pair_id_testably_id"), "changes", ["pair_id", "testably_id"])
    op.create_index(op.f("ix_runs_state_pair_id"), "runs", ["state", "pair_id"])


def downgrade() -> None:
    op.drop_index(op.f("ix_runs_state_pair_id"), "runs")
    op.drop_index(op.f("ix_changes_pair_id_testably_id"), "changes")
    op.drop_index(ACCEPTED, "links")
