"""Dismissals: findings of the capacity review that somebody dismissed, with a note."""

import sqlalchemy as sa
from alembic import op

from app.store import sums

revision = "0010"
down_revision = "0009"

Wide = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "dismissal",
        sa.Column("id", Wide, primary_key=True),
        sa.Column("host_id", Wide, sa.ForeignKey("host.id"), nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("facts_digest", sa.Text, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("at_ms", Wide, nullable=False),
        sa.Column("ended_at_ms", Wide),
        sqlite_strict=True,
    )
    op.create_index("dismissal_finding", "dismissal", ["host_id", "kind", "key"])
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        sums.cover(connection, "dismissal")
