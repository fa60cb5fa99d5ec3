"""Notifications: rules, targets, alerts, events, and what goes out."""

import sqlalchemy as sa
from alembic import op

from app.store import sums

revision = "0009"
down_revision = "0008"

Wide = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Flag = sa.SmallInteger().with_variant(sa.Integer(), "sqlite")
_TABLES = ("rule", "target", "alert", "event", "delivery", "message")


def upgrade() -> None:
    op.create_table(
        "notification_rule",
        sa.Column("id", Wide, primary_key=True),
        sa.Column("name", sa.Text, nullable=False, unique=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("severity", sa.Text, nullable=False),
        sa.Column("threshold", sa.Integer),
        sa.Column("whats", sa.Text, nullable=False),
        sa.Column("hosts", sa.Text, nullable=False),
        sa.Column("objects", sa.Text, nullable=False),
        sa.Column("target_ids", sa.Text, nullable=False),
        sa.Column("quiet", sa.Text),
        sa.Column("pause_minutes", sa.Integer, nullable=False),
        sa.Column("enabled", Flag, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("created_at_ms", Wide, nullable=False),
        sa.Column("since_ms", Wide, nullable=False),
        sa.Column("seen_change_id", Wide, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "notification_target",
        sa.Column("id", Wide, primary_key=True),
        sa.Column("name", sa.Text, nullable=False, unique=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("enabled", Flag, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("created_at_ms", Wide, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "notification_alert",
        sa.Column("id", Wide, primary_key=True),
        sa.Column("rule_id", Wide, nullable=False),
        sa.Column("host_id", Wide, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("began_ms", Wide, nullable=False),
        sa.Column("ended_ms", Wide),
        sqlite_strict=True,
    )
    op.create_table(
        "notification_event",
        sa.Column("id", Wide, primary_key=True),
        sa.Column("uid", sa.Text, nullable=False, unique=True),
        sa.Column("at_ms", Wide, nullable=False),
        sa.Column("since_ms", Wide),
        sa.Column("due_ms", Wide, nullable=False),
        sa.Column("rule_id", Wide, nullable=False),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("rule_kind", sa.Text, nullable=False),
        sa.Column("severity", sa.Text, nullable=False),
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("host_id", Wide),
        sa.Column("host", sa.Text),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("alert_id", Wide),
        sa.Column("change_id", Wide),
        sqlite_strict=True,
    )
    op.create_table(
        "notification_delivery",
        sa.Column("event_id", Wide, sa.ForeignKey("notification_event.id"), primary_key=True),
        sa.Column("target_id", Wide, primary_key=True),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("due_ms", Wide, nullable=False),
        sa.Column("message_id", Wide),
        sqlite_strict=True,
    )
    op.create_table(
        "notification_message",
        sa.Column("id", Wide, primary_key=True),
        sa.Column("uid", sa.Text, nullable=False, unique=True),
        sa.Column("target_id", Wide, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("events", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("made_ms", Wide, nullable=False),
        sa.Column("next_ms", Wide),
        sa.Column("tried_ms", Wide),
        sa.Column("ended_ms", Wide),
        sa.Column("took_ms", Wide),
        sa.Column("status", sa.Integer),
        sa.Column("sentence", sa.Text),
        sa.Column("detail", sa.Text),
        sa.Column("about_id", Wide),
        sqlite_strict=True,
    )
    op.create_index(
        "notification_alert_open",
        "notification_alert",
        ["rule_id", "host_id", "kind", "key"],
        unique=True,
        sqlite_where=sa.text("ended_ms IS NULL"),
        postgresql_where=sa.text("ended_ms IS NULL"),
    )
    op.create_index("notification_event_at", "notification_event", ["at_ms"])
    op.create_index(
        "notification_event_object",
        "notification_event",
        ["rule_id", "host_id", "kind", "key", "due_ms"],
    )
    op.create_index(
        "notification_event_change", "notification_event", ["change_id", "rule_id"], unique=True
    )
    op.create_index(
        "notification_delivery_due", "notification_delivery", ["state", "target_id", "due_ms"]
    )
    op.create_index("notification_delivery_message", "notification_delivery", ["message_id"])
    op.create_index("notification_message_state", "notification_message", ["state", "target_id"])
    op.create_index("notification_message_made", "notification_message", ["made_ms"])
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        for name in _TABLES:
            sums.cover(connection, f"notification_{name}")
