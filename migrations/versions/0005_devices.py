"""What the disks and NICs of domains with several of them count, each on its own."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

Wide = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

_COUNTED = (
    "disk_read_bytes", "disk_write_bytes", "disk_read_requests", "disk_write_requests",
    "net_rx_bytes", "net_tx_bytes", "net_rx_packets", "net_tx_packets", "net_rx_drops",
    "net_tx_drops", "net_rx_errors", "net_tx_errors",
)  # fmt: skip
_METRICS = (
    "disk_read_bytes", "disk_write_bytes", "net_rx_bytes", "net_tx_bytes", "disk_read_requests",
    "disk_write_requests", "net_rx_packets", "net_tx_packets", "net_rx_drops", "net_tx_drops",
    "net_rx_errors", "net_tx_errors",
)  # fmt: skip


def upgrade() -> None:
    op.create_table(
        "sample_device",
        sa.Column("ts", Wide, primary_key=True),
        sa.Column("entity", Wide, primary_key=True),
        *(sa.Column(name, Wide) for name in _COUNTED),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "daily_device",
        sa.Column("day", sa.Text, primary_key=True),
        sa.Column("entity", Wide, primary_key=True),
        *(
            sa.Column(f"{metric}_{figure}", sa.REAL)
            for metric in _METRICS
            for figure in ("min", "avg", "max", "p95", "last")
        ),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
