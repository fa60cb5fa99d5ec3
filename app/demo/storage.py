"""The made-up pools and volumes: what there is, and how much of it is taken at any time. Pure."""

from msgspec import Struct

from app.demo.catalog import GIB, Site
from app.demo.machines import MadeDisk
from app.demo.plan import DAY, Plan, chance, uuid_of
from app.demo.planted import FILLING
from app.inventory import Pool, PoolSample, Volume

_MIB = 1 << 20
_EXTENT = 4 * _MIB


class MadeVolume(Struct):
    """A volume, from minute `made` to `gone`; it grows from `first` by `per_day` bytes."""

    name: str
    capacity_bytes: int
    made: int
    first_bytes: int
    per_day_bytes: int
    format: str = "qcow2"
    gone: int | None = None

    def allocation(self, minute: int) -> int:
        """What it takes in a minute, in bytes."""
        grown = self.first_bytes + self.per_day_bytes * (minute - self.made) // DAY
        return max(_MIB, min(self.capacity_bytes, grown)) // 4096 * 4096


class MadePool:
    """A pool of one host with its volumes, those that are gone too, and files that are none."""

    def __init__(self, site: Site, name: str, kind: str, capacity_gib: int, plan: Plan) -> None:
        self.name, self.kind = name, kind
        self.uuid = uuid_of(plan.seed, "pool", site.slug, name)
        self.capacity_bytes = capacity_gib * GIB
        self.state = "running"
        self.autostart = True
        self.directory = "/var/lib/libvirt/images" if name == "images" else f"/srv/{name}"
        self.source = {"netfs": f"nas.demo.example:/export/{name}", "logical": f"vg-{name}",
                       "zfs": f"tank/{name}"}.get(kind)  # fmt: skip
        self.volumes: list[MadeVolume] = []
        # When it was not active, in minutes; the last may go on.
        self.stops: list[tuple[int, int | None]] = []
        self.full_minute: int | None = None
        self.per_day_bytes = 0
        self._weekly = kind == "netfs"
        if name == FILLING.pool and site.slug == FILLING.host:
            self.full_minute = plan.end + round(FILLING.full_in_days * DAY)
            self.per_day_bytes = FILLING.bytes_per_day

    def fact(self) -> Pool:
        """Its facts."""
        return Pool(
            self.uuid, self.name, self.state, self.autostart, True, self.kind, self.directory,
            self.source,
        )  # fmt: skip

    def present(self, minute: int) -> list[MadeVolume]:
        """The volumes that there are in a minute."""
        return [
            one
            for one in self.volumes
            if one.made <= minute and (one.gone is None or minute < one.gone)
        ]

    def allocation(self, minute: int) -> int:
        """What is taken of it in a minute, in bytes."""
        whole = self.capacity_bytes
        if self.full_minute is not None:
            left = (self.full_minute - minute) * self.per_day_bytes // DAY
            taken = max(whole // 8, whole - left)
        else:
            taken = 6 * GIB + sum(one.allocation(minute) for one in self.present(minute))
        if self._weekly:
            # Backups are kept until the weekend clears them.
            taken += whole * 2 // 5 + whole // 90 * (minute // DAY % 7)
        return min(whole, taken) // _EXTENT * _EXTENT

    def sample(self, minute: int, refreshed_at_ms: int | None = None) -> PoolSample:
        """What is measured of it in a minute."""
        taken, there = self.allocation(minute), self.present(minute)
        return PoolSample(
            self.capacity_bytes, taken, self.capacity_bytes - taken,
            sum(one.capacity_bytes for one in there), len(there), refreshed_at_ms,
        )  # fmt: skip

    def facts_of_volumes(self, minute: int) -> dict[str, Volume]:
        """Its volumes' facts in a minute."""
        return {
            one.name: Volume(
                self.uuid, one.name, f"{self.directory}/{one.name}", "file", one.format,
                one.capacity_bytes,
            )
            for one in self.present(minute)
        }  # fmt: skip

    def add(self, disk: MadeDisk, plan: Plan) -> None:
        """Put the volume behind a disk into it."""
        luck = chance(plan.seed, "volume", self.uuid, disk.volume)
        share = luck.uniform(0.4, 0.62)
        left = disk.capacity_bytes * (0.93 - share)
        per_day = left / max(1, plan.days) * luck.uniform(0.08, 0.35)
        self.volumes.append(
            MadeVolume(
                disk.volume, disk.capacity_bytes, disk.made, round(disk.capacity_bytes * share),
                round(per_day), disk.format,
            )
        )  # fmt: skip

    def drop(self, name: str, minute: int) -> None:
        """Take a volume out of it."""
        for volume in self.volumes:
            if volume.name == name and volume.gone is None:
                volume.gone = minute
