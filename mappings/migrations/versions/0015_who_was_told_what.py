"""What each address of notices was told of a pair, and which addresses take nothing"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_pairs = sa.table(
    "pairs",
    sa.column("id", sa.BigInteger),
    sa.column("noticed", sa.JSON(none_as_null=True)),
    sa.column("noticed_at", sa.DateTime(timezone=True)),
)


def upgrade() -> None:
    connection = op.get_bind()
    told = _pairs.c.noticed_at.is_not(None)
    for id_, topics, at in connection.execute(sa.select(_pairs).where(told)).all():
        moment = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
        # Which address it was is not known; an empty list was left once all was over.
        _set(id_, noticed={"": {"topics": topics or None, "at": moment.isoformat()}})
    with op.batch_alter_table("pairs", schema=None) as batch_op:
        batch_op.drop_column("noticed_at")
    op.create_table(
        "notice_addresses",
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("rests_until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("address", name=op.f("pk_notice_addresses")),
    )


def downgrade() -> None:
    op.drop_table("notice_addresses")
    with op.batch_alter_table("pairs", schema=None) as batch_op:
        batch_op.add_column(sa.Column("noticed_at", sa.DateTime(timezone=True), nullable=True))
    connection = op.get_bind()
    columns = (_pairs.c.id, _pairs.c.noticed)
    told = _pairs.c.noticed.is_not(None)
    for id_, noticed in connection.execute(sa.select(*columns).where(told)).all():
        last = max(noticed.values(), key=lambda one: datetime.fromisoformat(one["at"]))
        at = datetime.fromisoformat(last["at"])
        _set(id_, noticed=last["topics"] or [], noticed_at=at)


def _set(id_: int, **values: Any) -> None:
    op.get_bind().execute(_pairs.update().where(_pairs.c.id == id_).values(**values))
