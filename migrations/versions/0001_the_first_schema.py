"""The first schema: hosts, credentials, scans, entities, revisions and the sample tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

Wide = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Flag = sa.SmallInteger().with_variant(sa.Integer(), "sqlite")


# What is measured of each kind, all wide integers.
_SAMPLES = {
    "host": (
        "cpu_user_ns",
        "cpu_system_ns",
        "cpu_iowait_ns",
        "cpu_idle_ns",
        "memory_total_bytes",
        "memory_free_bytes",
        "memory_buffers_bytes",
        "memory_cached_bytes",
        "running_domains",
        "defined_domains",
        "assigned_vcpus",
        "assigned_memory_bytes",
    ),
    "domain": (
        "cpu_time_ns",
        "memory_bytes",
        "memory_usable_bytes",
        "memory_unused_bytes",
        "memory_rss_bytes",
        "disk_read_bytes",
        "disk_write_bytes",
        "disk_read_requests",
        "disk_write_requests",
        "net_rx_bytes",
        "net_tx_bytes",
        "net_rx_packets",
        "net_tx_packets",
        "net_rx_drops",
        "net_tx_drops",
        "net_rx_errors",
        "net_tx_errors",
    ),
    "pool": (
        "capacity_bytes",
        "allocation_bytes",
        "available_bytes",
        "volumes_capacity_bytes",
        "volume_count",
        "refreshed_at_ms",
    ),
    "volume": ("allocation_bytes",),
}


def upgrade() -> None:
    op.create_table(
        "credential",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("username", sa.Text),
        sa.Column("created_at_ms", Wide, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "host",
        sa.Column("id", Wide, primary_key=True),
        sa.Column("slug", sa.Text, nullable=False),
        sa.Column("driver", sa.Text, nullable=False),
        sa.Column("transport", sa.Text, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("host", sa.Text),
        sa.Column("port", sa.Integer),
        sa.Column("user", sa.Text),
        sa.Column("socket", sa.Text),
        sa.Column("key", sa.Text),
        sa.Column("known_hosts", sa.Text),
        sa.Column("pki", sa.Text),
        sa.Column("sasl", sa.Text),
        sa.Column("read_only", Flag, nullable=False),
        sa.Column("allowed_roots", sa.Text, nullable=False),
        sa.Column("enabled", Flag, nullable=False),
        sa.Column("host_uuid", sa.Text),
        sa.Column("created_at_ms", Wide, nullable=False),
        sa.Column("removed_at_ms", Wide),
        sqlite_strict=True,
    )
    op.create_index(
        "host_slug",
        "host",
        ["slug"],
        unique=True,
        sqlite_where=sa.text("removed_at_ms IS NULL"),
        postgresql_where=sa.text("removed_at_ms IS NULL"),
    )
    op.create_table(
        "entity",
        sa.Column("id", Wide, primary_key=True),
        sa.Column("host_id", Wide, sa.ForeignKey("host.id"), nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("first_seen_ms", Wide, nullable=False),
        sa.Column("last_seen_ms", Wide),
        sqlite_strict=True,
    )
    op.create_index("entity_key", "entity", ["host_id", "kind", "key"], unique=True)
    op.create_table(
        "scan",
        sa.Column("id", Wide, primary_key=True),
        sa.Column("host_id", Wide, sa.ForeignKey("host.id"), nullable=False),
        sa.Column("at_ms", Wide, nullable=False),
        sa.Column("took_ms", Wide, nullable=False),
        sa.Column("ok", Flag, nullable=False),
        sa.Column("problem", sa.Text),
        sa.Column("sentence", sa.Text),
        sa.Column("detail", sa.Text),
        sa.Column("missing", sa.Text),
        sa.Column("rpc_count", Wide),
        sa.Column("clock_stepped", Flag, nullable=False),
        sa.Column("interval_ms", Wide, nullable=False),
        sa.Column("next_at_ms", Wide),
        sa.Column("listed", sa.Integer, nullable=False),
        sa.Column("sampled", sa.Integer, nullable=False),
        sa.Column("changes", Wide, nullable=False),
        sqlite_strict=True,
    )
    op.create_index("scan_at", "scan", ["at_ms"])
    op.create_index("scan_host_at", "scan", ["host_id", "at_ms"], unique=True)
    op.create_index("scan_host_ok_at", "scan", ["host_id", "ok", "at_ms"])
    op.create_table(
        "revision",
        sa.Column("id", Wide, primary_key=True),
        sa.Column("entity_id", Wide, sa.ForeignKey("entity.id"), nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("valid_from_ms", Wide, nullable=False),
        sa.Column("valid_to_ms", Wide),
        sa.Column("body", sa.Text, nullable=False),
        sqlite_strict=True,
    )
    op.create_index("revision_entity_from", "revision", ["entity_id", "valid_from_ms"])
    op.create_index("revision_from", "revision", ["valid_from_ms"])
    op.create_index("revision_kind_to", "revision", ["kind", "valid_to_ms"])
    for table, columns in _SAMPLES.items():
        op.create_table(
            f"sample_{table}",
            sa.Column("ts", Wide, primary_key=True),
            sa.Column("entity", Wide, primary_key=True),
            *(sa.Column(name, Wide) for name in columns),
            sqlite_strict=True,
            sqlite_with_rowid=False,
        )
