"""A checksum of every row and of every scan's samples, and what was looked after when."""

import sqlalchemy as sa
from alembic import op

from app.store import sums

revision = "0007"
down_revision = "0006"

Wide = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Flag = sa.SmallInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    # NULL: not known; scans of before have none of their samples.
    op.add_column("scan", sa.Column("samples_crc", Wide))
    op.create_table(
        "upkeep",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("at_ms", Wide, nullable=False),
        sa.Column("took_ms", Wide, nullable=False),
        sa.Column("ok", Flag, nullable=False),
        sa.Column("value", Wide),
        sa.Column("sentence", sa.Text),
        sqlite_strict=True,
    )
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        for table in sums.covered_tables(connection):
            sums.cover(connection, table)
