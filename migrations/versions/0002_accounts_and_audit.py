"""Users, their sessions, tokens of the API, and the audit."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

Wide = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Flag = sa.SmallInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "user",
        sa.Column("id", Wide, primary_key=True),
        sa.Column("name", sa.Text, nullable=False, unique=True),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("host_ids", sa.Text),
        sa.Column("password", sa.Text),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("subject", sa.Text),
        sa.Column("disabled", Flag, nullable=False),
        sa.Column("created_at_ms", Wide, nullable=False),
        sa.Column("signed_in_at_ms", Wide),
        sqlite_strict=True,
    )
    op.create_table(
        "session",
        sa.Column("id", Wide, primary_key=True),
        sa.Column("digest", sa.Text, nullable=False, unique=True),
        sa.Column("user_id", Wide, sa.ForeignKey("user.id"), nullable=False),
        sa.Column("created_at_ms", Wide, nullable=False),
        sa.Column("seen_at_ms", Wide, nullable=False),
        sa.Column("expires_at_ms", Wide, nullable=False),
        sa.Column("peer", sa.Text, nullable=False),
        sa.Column("agent", sa.Text, nullable=False),
        sa.Column("ended_at_ms", Wide),
        sqlite_strict=True,
    )
    op.create_index("session_user", "session", ["user_id"])
    op.create_table(
        "token",
        sa.Column("id", Wide, primary_key=True),
        sa.Column("name", sa.Text, nullable=False, unique=True),
        sa.Column("digest", sa.Text, nullable=False, unique=True),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("host_ids", sa.Text),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("created_at_ms", Wide, nullable=False),
        sa.Column("expires_at_ms", Wide),
        sa.Column("revoked_at_ms", Wide),
        sa.Column("used_at_ms", Wide),
        sqlite_strict=True,
    )
    op.create_table(
        "audit",
        sa.Column("id", Wide, primary_key=True),
        sa.Column("intent_id", Wide, sa.ForeignKey("audit.id")),
        sa.Column("at_ms", Wide, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("peer", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("host_id", Wide),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("parameters", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text),
        sa.Column("outcome", sa.Text),
        sa.Column("sentence", sa.Text),
        sa.Column("detail", sa.Text),
        sa.Column("took_ms", Wide),
        sa.Column("digest", sa.Text, nullable=False),
        sqlite_strict=True,
    )
    op.create_index("audit_at", "audit", ["at_ms"])
    op.create_index("audit_object", "audit", ["host_id", "key", "at_ms"])
    op.create_index("audit_intent", "audit", ["intent_id"], unique=True)
    op.create_index(
        "audit_request",
        "audit",
        ["host_id", "kind", "key", "action", "request_id"],
        unique=True,
    )
