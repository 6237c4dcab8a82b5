"""The tables of the mapping store. `mappings.store` alone queries them; Alembic builds them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    false,
    text,
    true,
)


class UtcDateTime(TypeDecorator[datetime]):
    """Aware moments in UTC on every database; SQLite would hand them back without a zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        moment: datetime = value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_Id = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers rows by itself only for INTEGER."""

pairs = Table(
    "pairs",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("testrail_url", Text, nullable=False),
    Column("testrail_project", BigInteger, nullable=False),
    Column("testably_url", Text, nullable=False),
    Column("testably_project", Text, nullable=False),
    Column("rules", Text),
    Column("listed_at", UtcDateTime),
    Column("proved_at", UtcDateTime),
    Column("paused_because", Text),
    Column("paused_at", UtcDateTime),
    Column("refused_credentials", Text),
    Column("testrail_name", Text),
    Column("testably_name", Text),
    Column("open_word", Text),
    Column("drifted_at", UtcDateTime),
    Column("noticed", JSON(none_as_null=True)),
    UniqueConstraint("testrail_url", "testrail_project", "testably_url", "testably_project"),
)

links = Table(
    "links",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("pair_id", ForeignKey("pairs.id"), nullable=False),
    Column("testrail_id", BigInteger, nullable=False),
    Column("testably_id", Text),
    Column("state", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("pushed", JSON, nullable=False),
    Column("echoed", JSON, nullable=False),
    Column("echoed_at", Text),
    Column("intended", JSON(none_as_null=True)),
    Column("sent", JSON, nullable=False, server_default=text("'{}'")),
    Column("field_problems", JSON, nullable=False, server_default=text("'{}'")),
    Column("parent_id", BigInteger),
    Column("target_parent", Text),
    Column("has_children", Boolean, nullable=False, server_default=false()),
    Column("source_print", Text, nullable=False),
    Column("target_print", Text),
    Column("agreed_counts", Text),
    Column("agreed_until", BigInteger),
    Column("raw", JSON, nullable=False),
    Column("trouble_kind", Text),
    Column("trouble_reason", Text),
    Column("trouble_since", UtcDateTime),
    Column("trouble_count", Integer),
    Column("trouble_at", UtcDateTime),
    Column("open_problems", Integer, nullable=False, server_default="0"),
    Column("accepted_problems", Integer, nullable=False, server_default="0"),
    Column("attempt_at", UtcDateTime),
    Column("attempt_deadline", UtcDateTime),
    Column("attempt_newest", Text),
    Column("attempt_before", JSON(none_as_null=True)),
    Column("attempt_asked", JSON(none_as_null=True)),
    Column("attempt_parent", Text),
    Column("attempts", Integer, nullable=False),
    Column("change_id", BigInteger),
    Column("look_again", Boolean, nullable=False),
    Column("claim_until", UtcDateTime),
    Column("version", Integer, nullable=False),
    UniqueConstraint("pair_id", "testrail_id"),
    UniqueConstraint("pair_id", "testably_id"),
    Index(
        "ix_links_open_problems",
        "pair_id",
        sqlite_where=text("open_problems > 0"),
        postgresql_where=text("open_problems > 0"),
    ),
    Index(
        "ix_links_accepted_problems",
        "pair_id",
        sqlite_where=text("accepted_problems > 0"),
        postgresql_where=text("accepted_problems > 0"),
    ),
)

runs = Table(
    "runs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("pair_id", ForeignKey("pairs.id"), nullable=False),
    Column("trigger", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("holder", Text, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    Column("planned", Integer),
    Column("counts", JSON, nullable=False),
    Column("requests", JSON, nullable=False),
    Column("problems", JSON, nullable=False),
    Column("error", JSON(none_as_null=True)),
    Column("options", JSON, nullable=False),
    Column("stop_requested", Boolean, nullable=False),
    Column("heartbeat_at", UtcDateTime),
    Column("due_at", UtcDateTime),
    Column("exclusive", Boolean, nullable=False, server_default=true()),
    Column("not_exact", JSON, nullable=False, server_default="{}"),
    Column("verified", JSON(none_as_null=True)),
    Index(None, "pair_id", "started_at"),
    Index(None, "pair_id", "finished_at"),
    Index(None, "state", "pair_id"),
)

answers = Table(
    "answers",
    metadata,
    Column("run_id", ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("phase", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("part", Integer, nullable=False),
    Column("status", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("kept_at", UtcDateTime, nullable=False),
)

quiet_readings = Table(
    "quiet_readings",
    metadata,
    Column("pair_id", ForeignKey("pairs.id"), primary_key=True),
    Column("with_target", Boolean, primary_key=True),
    Column("key", Text, nullable=False),
    Column("links", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("until", BigInteger),
    Column("listed", Boolean, nullable=False),
    Column("in_step", Integer, nullable=False),
    Column("exempt", JSON, nullable=False),
    Column("not_exact", JSON, nullable=False),
    Column("answered", LargeBinary, nullable=False),
)

changes = Table(
    "changes",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("pair_id", ForeignKey("pairs.id"), nullable=False),
    Column("run_id", ForeignKey("runs.id"), nullable=False),
    Column("testrail_id", BigInteger, nullable=False),
    Column("testably_id", Text),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("before", JSON, nullable=False),
    Column("after", JSON, nullable=False),
    Column("echo", JSON(none_as_null=True)),
    Column("parent_before", JSON(none_as_null=True)),
    Column("note", Text, nullable=False),
    Column("undoes", BigInteger),
    Column("at", UtcDateTime, nullable=False),
    Column("settled_at", UtcDateTime),
    Index(None, "pair_id", "testrail_id"),
    Index(None, "pair_id", "testably_id"),
    Index(None, "run_id"),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("delivery", Text, nullable=False, unique=True),
    Column("correlation", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("testrail_project", BigInteger, nullable=False),
    Column("testrail_id", BigInteger),
    Column("state", Text, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Column("handled_at", UtcDateTime),
    Column("read_by", JSON(none_as_null=True)),
    Index(None, "state", "received_at"),
)

notice_addresses = Table(
    "notice_addresses",
    metadata,
    Column("address", Text, primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("rests_until", UtcDateTime, nullable=False),
)
