"""Looks at some objects between the scans, because libvirt told of them."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

Wide = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "partial_look",
        sa.Column("host_id", Wide, sa.ForeignKey("host.id"), primary_key=True),
        sa.Column("at_ms", Wide, primary_key=True),
        sa.Column("took_ms", Wide, nullable=False),
        sa.Column("changes", Wide, nullable=False),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
