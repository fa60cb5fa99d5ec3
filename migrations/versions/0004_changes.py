"""What happened, a row each, and the hosts whose older revisions are to be told so."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

Wide = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "change",
        sa.Column("id", Wide, primary_key=True),
        sa.Column("at_ms", Wide, nullable=False),
        sa.Column("after_ms", Wide),
        sa.Column("host_id", Wide, sa.ForeignKey("host.id")),
        sa.Column("entity_id", Wide),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("part", sa.Text),
        sa.Column("old", sa.Text),
        sa.Column("new", sa.Text),
        sa.Column("old_revision_id", Wide),
        sa.Column("new_revision_id", Wide),
        sa.Column("xml_revision_id", Wide),
        sa.Column("peer_host_id", Wide),
        sa.Column("replaced_ms", Wide),
        sqlite_strict=True,
    )
    op.create_index("change_at", "change", ["at_ms", "host_id", "kind", "what", "replaced_ms"])
    op.create_index("change_host", "change", ["host_id", "at_ms", "kind", "what", "replaced_ms"])
    op.create_index("change_entity", "change", ["entity_id", "at_ms", "what", "replaced_ms"])
    op.create_index("change_what", "change", ["what", "at_ms", "host_id", "kind", "replaced_ms"])
    op.create_table(
        "change_walk",
        sa.Column("host_id", Wide, sa.ForeignKey("host.id"), primary_key=True),
        sa.Column("next_ms", Wide, nullable=False),
        sa.Column("until_ms", Wide, nullable=False),
        sqlite_strict=True,
    )
    # Telling them could take long; it is done in short slices later.
    op.execute(
        "INSERT INTO change_walk (host_id, next_ms, until_ms) "
        "SELECT host_id, min(at_ms), max(at_ms) FROM scan GROUP BY host_id"
    )
