"""What was measured, for years: chunks of buckets, a row a day, and how far that has come."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

Wide = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

_DAILY = {
    "host": (
        "cpu", "cpu_user", "cpu_system", "cpu_iowait", "cpu_idle", "memory_used_bytes",
        "memory_total_bytes", "memory_free_bytes", "memory_buffers_bytes", "memory_cached_bytes",
        "assigned_memory_bytes", "running_domains", "defined_domains", "assigned_vcpus",
    ),
    "domain": (
        "cpu", "memory_used_bytes", "memory_bytes", "memory_usable_bytes", "memory_unused_bytes",
        "memory_rss_bytes", "disk_read_bytes", "disk_write_bytes", "net_rx_bytes", "net_tx_bytes",
        "disk_read_requests", "disk_write_requests", "net_rx_packets", "net_tx_packets",
        "net_rx_drops", "net_tx_drops", "net_rx_errors", "net_tx_errors",
    ),
    "pool": (
        "capacity_bytes", "allocation_bytes", "available_bytes", "volumes_capacity_bytes",
        "volume_count",
    ),
    "volume": ("allocation_bytes",),
}  # fmt: skip


def upgrade() -> None:
    op.create_table(
        "chunk",
        sa.Column("id", Wide, primary_key=True),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "scan_day",
        sa.Column("id", Wide, primary_key=True),
        sa.Column("from_ms", Wide, nullable=False),
        sa.Column("until_ms", Wide, nullable=False),
        sa.Column("widest_ms", Wide, nullable=False),
        sa.Column("good", sa.Integer, nullable=False),
        sa.Column("failed", sa.Integer, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sqlite_strict=True,
    )
    op.create_index("scan_day_until", "scan_day", ["until_ms"])
    op.create_table(
        "keyframe",
        sa.Column("id", Wide, primary_key=True),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sqlite_strict=True,
    )
    for kind, metrics in _DAILY.items():
        op.create_table(
            f"daily_{kind}",
            sa.Column("day", sa.Text, primary_key=True),
            sa.Column("entity", Wide, primary_key=True),
            *(
                sa.Column(f"{metric}_{figure}", sa.REAL)
                for metric in metrics
                for figure in ("min", "avg", "max", "p95", "last")
            ),
            sqlite_strict=True,
            sqlite_with_rowid=False,
        )
    op.create_table(
        "compacted",
        sa.Column("host_id", Wide, sa.ForeignKey("host.id"), primary_key=True),
        sa.Column("before_day", Wide, nullable=False),
        sa.Column("last_scan_ms", Wide, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "not_compacted",
        sa.Column("entity", Wide, primary_key=True),
        sa.Column("day", Wide, primary_key=True),
        sa.Column("sentence", sa.Text, nullable=False),
        sa.Column("at_ms", Wide, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "horizon",
        sa.Column("tier", sa.Text, primary_key=True),
        sa.Column("from_ms", Wide, nullable=False),
        sqlite_strict=True,
    )
