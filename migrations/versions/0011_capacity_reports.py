"""The capacity reports that are kept, one of each month."""

import sqlalchemy as sa
from alembic import op

from app.store import sums

revision = "0011"
down_revision = "0010"

Wide = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "capacity_report",
        sa.Column("id", Wide, primary_key=True),
        sa.Column("month", sa.Text, nullable=False, unique=True),
        sa.Column("at_ms", Wide, nullable=False),
        sa.Column("made_ms", Wide, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sqlite_strict=True,
    )
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        sums.cover(connection, "capacity_report")
