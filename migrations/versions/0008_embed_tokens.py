"""Tokens of embeds."""

import sqlalchemy as sa
from alembic import op

from app.store import sums

revision = "0008"
down_revision = "0007"

Wide = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Flag = sa.SmallInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "embed_token",
        sa.Column("id", Wide, primary_key=True),
        sa.Column("digest", sa.Text, nullable=False, unique=True),
        sa.Column("hint", sa.Text, nullable=False),
        sa.Column("view", sa.Text, nullable=False),
        sa.Column("filters", sa.Text, nullable=False),
        sa.Column("origins", sa.Text, nullable=False),
        sa.Column("frame", Flag, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("maker_kind", sa.Text, nullable=False),
        sa.Column("maker", sa.Text, nullable=False),
        sa.Column("created_at_ms", Wide, nullable=False),
        sa.Column("expires_at_ms", Wide, nullable=False),
        sa.Column("revoked_at_ms", Wide),
        sa.Column("used_at_ms", Wide),
        sqlite_strict=True,
    )
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        sums.cover(connection, "embed_token")
