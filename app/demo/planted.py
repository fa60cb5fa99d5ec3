"""The facts that are planted in the made-up fleet, as data: what a capacity review is to find.

Nothing else in the fleet looks like them: every other domain works, every other volume is used,
no other pool fills within a year.
"""

from msgspec import Struct

from app.demo.plan import Plan

GIB = 1 << 30


class FillingPool(Struct, frozen=True):
    """A pool that grows by so much a day and is full so many days after the history's end."""

    host: str
    pool: str
    capacity_bytes: int
    bytes_per_day: int
    full_in_days: float


class OrphanVolume(Struct, frozen=True):
    """A volume that no domain uses and nothing is based on."""

    host: str
    pool: str
    name: str
    capacity_bytes: int


class Overcommitted(Struct, frozen=True):
    """A host whose running domains were promised so much more than it has."""

    host: str
    memory_ratio: float
    vcpus_per_thread: float


class Planted(Struct, frozen=True):
    """All planted facts of a plan. Domains are named; their names are unique in the fleet."""

    filling: FillingPool
    idle: tuple[str, ...]
    oversized: tuple[str, ...]
    orphans: tuple[OrphanVolume, ...]
    overcommitted: Overcommitted | None


IDLE = (
    "legacy-crm", "print-old", "poc-kafka", "intranet-old", "shop-demo", "sales-poc", "jira-old",
    "ftp-old", "report-old", "win-test",
)  # fmt: skip
OVERSIZED = ("dwh-1", "sim-1", "bi-1")
FILLING = FillingPool("kvm-02", "fast-nvme", 3800 * GIB, 41 * GIB, 6.4)
ORPHANS = (
    OrphanVolume("kvm-01", "images", "old-mail.qcow2", 240 * GIB),
    OrphanVolume("kvm-01", "images", "migrate-tmp.raw", 80 * GIB),
    OrphanVolume("kvm-02", "images", "app-09-before-upgrade.qcow2", 60 * GIB),
    OrphanVolume("kvm-02", "images", "erp-2023.qcow2", 500 * GIB),
    OrphanVolume("kvm-02", "images", "win-install-copy.qcow2", 40 * GIB),
)
OVERCOMMITTED = Overcommitted("kvm-05", 1.3, 4.0)


def planted(plan: Plan) -> Planted:
    """The planted facts that fit into a plan; a small fleet may have no overcommitted host."""
    return Planted(FILLING, IDLE, OVERSIZED, ORPHANS, OVERCOMMITTED if plan.hosts >= 5 else None)
