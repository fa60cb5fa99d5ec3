"""From when on days count that were put together late, and what days said before they were put
together again.

Of what was put together before this nothing is kept: such a day counts from an hour after its end
on, as it did.
"""

import sqlalchemy as sa
from alembic import op

from app.store import sums

revision = "0012"
down_revision = "0011"

Wide = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "late_day",
        sa.Column("host_id", Wide, sa.ForeignKey("host.id"), primary_key=True),
        sa.Column("day", Wide, primary_key=True),
        sa.Column("counts_from_ms", Wide, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "replaced_day",
        sa.Column("entity", Wide, primary_key=True),
        sa.Column("day", Wide, primary_key=True),
        sa.Column("until_ms", Wide, primary_key=True),
        sa.Column("body", sa.Text),
        sqlite_strict=True,
    )
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        sums.cover(connection, "late_day")
        sums.cover(connection, "replaced_day")
