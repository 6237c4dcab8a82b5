"""The run of a pair that ended last is found by an index"""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(op.f("ix_runs_pair_id_finished_at"), "runs", ["pair_id", "finished_at"])


def downgrade() -> None:
    op.drop_index(op.f("ix_runs_pair_id_finished_at"), "runs")
