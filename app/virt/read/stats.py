"""What the active domains have used: counters and gauges, measured at every scan.

Owns the bulk call that tells them and its substitutes: drivers that answer it without the wanted
keys (libvirt's test driver) or not at all are asked domain by domain. A domain that is busy
(NOWAIT) or has just gone has an empty sample.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Literal

import libvirt
from msgspec import Struct, structs

from app.errors import VirtError
from app.inventory import DeviceSample, DomainSample
from app.virt.read.look import SIDE_BY_SIDE, Look, each
from app.virt.xml.values import MAX_INTEGER

_GROUPS: int = (
    libvirt.VIR_DOMAIN_STATS_CPU_TOTAL
    | libvirt.VIR_DOMAIN_STATS_BALLOON
    | libvirt.VIR_DOMAIN_STATS_INTERFACE
    | libvirt.VIR_DOMAIN_STATS_BLOCK
)
# Costs QEMU as much as the others and tells nothing of what is measured: only whether vCPUs were
# plugged in or out.
_VCPU: int = libvirt.VIR_DOMAIN_STATS_VCPU
_VCPU_PERIOD_S = 120.0
_NOWAIT = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
_MAX_DEVICES = 1024
_WORTH_A_SHARE = 16
PART = "domain statistics"
_KIB = 1024

Record = Mapping[str, Any]


class Shape(Struct, frozen=True):
    """Memory and vCPUs as the statistics tell them; None: not told. A change means that the
    definition changed.
    """

    memory_kib: int | None
    max_memory_kib: int | None
    vcpus: int | None
    max_vcpus: int | None

    def differs(self, other: "Shape") -> bool:
        """Whether both tell something and disagree; a busy domain tells less than usual."""
        pairs = zip(structs.astuple(self), structs.astuple(other), strict=True)
        return any(a is not None and b is not None and a != b for a, b in pairs)

    def over(self, older: "Shape | None") -> "Shape":
        """This shape, and `older` in what this one does not tell."""
        if older is None or None not in (self.memory_kib, self.max_memory_kib, self.vcpus):
            return self
        pairs = zip(structs.astuple(self), structs.astuple(older), strict=True)
        return Shape(*(new if new is not None else old for new, old in pairs))


class Part(Struct, frozen=True):
    """What one disk or NIC counted; `target` is its name within the domain, or on the host."""

    sort: Literal["disk", "nic"]
    target: str
    sample: DeviceSample


class Measured(Struct, frozen=True):
    """The samples and shapes by domain UUID; `samples` has every domain that was asked for.
    `parts` are the devices of domains with several of a sort, `silent` domains that told nothing
    of theirs this time.
    """

    samples: Mapping[str, DomainSample]
    shapes: Mapping[str, Shape]
    parts: Mapping[str, tuple[Part, ...]] = {}
    silent: Collection[str] = ()


class StatsReader:
    """Measures the active domains of one host."""

    def __init__(self) -> None:
        self._bulk = True
        self._vcpus_s: float | None = None

    def forget(self) -> None:
        """Try the bulk call again."""
        self._bulk = True
        self._vcpus_s = None

    def measure(self, look: Look, active: Mapping[str, libvirt.virDomain]) -> Measured | None:
        """Samples of all `active` domains by UUID; None (and noted) when they cannot be had."""
        if not active:
            return Measured({}, {})
        records = self._records(look, active)
        if records is None:
            return None
        empty = DomainSample()
        beyond = sum(beyond_count(record) for record in records.values())
        if beyond:
            look.beyond(PART, beyond)
        samples = {uuid: sample_of(records[uuid]) if uuid in records else empty for uuid in active}
        parts = {uuid: tuple(parts_of(record)) for uuid, record in records.items()}
        return Measured(
            samples,
            {uuid: shape_of(record) for uuid, record in records.items()},
            {uuid: some for uuid, some in parts.items() if some},
            {uuid for uuid in active if is_silent(records.get(uuid, {}), parts.get(uuid, ()))},
        )

    def _records(
        self, look: Look, active: Mapping[str, libvirt.virDomain]
    ) -> dict[str, Record] | None:
        if self._bulk:
            try:
                records = _bulk_records(look, active, self._groups(look))
            except VirtError as error:
                look.note_error(PART, error)
                if error.failure != "unsupported":
                    return None
            else:
                if not records or any(_tells(record) for record in records.values()):
                    return records
            self._bulk = False
        return look.attempt(PART, lambda: _single_records(look, active), None)

    def _groups(self, look: Look) -> int:
        """The groups to ask for in this scan."""
        last_s = self._vcpus_s
        if not look.everything and last_s is not None and look.now_s - last_s < _VCPU_PERIOD_S:
            return _GROUPS
        self._vcpus_s = look.now_s
        return _GROUPS | _VCPU


def inactive_shapes(look: Look) -> dict[str, Shape]:
    """Memory and vCPUs of the inactive domains' definitions, in one call; raises VirtError."""
    groups = libvirt.VIR_DOMAIN_STATS_BALLOON | libvirt.VIR_DOMAIN_STATS_VCPU
    flags = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_INACTIVE
    records = look.call(look.connection.getAllDomainStats, groups, flags)
    return {domain.UUIDString(): shape_of(record) for domain, record in records}


def shape_of(record: Record) -> Shape:
    """Memory and vCPUs of one record."""
    return Shape(
        memory_kib=record.get("balloon.current"),
        max_memory_kib=record.get("balloon.maximum"),
        vcpus=record.get("vcpu.current"),
        max_vcpus=record.get("vcpu.maximum"),
    )


def _tells(record: Record) -> bool:
    """Whether a record holds anything of what was asked for, not its state alone."""
    return any(not key.startswith("state.") for key in record)


def _bulk_records(
    look: Look, active: Mapping[str, libvirt.virDomain], groups: int
) -> dict[str, Record]:
    """All records in a few calls side by side, since the time goes into waiting for QEMU."""
    domains = list(active.values())
    shares = min(SIDE_BY_SIDE, 1 + len(domains) // _WORTH_A_SHARE)
    parts = each(
        lambda share: _share(look, share, groups),
        [domains[start::shares] for start in range(shares)],
        worth=1,
    )
    return {domain.UUIDString(): record for part in parts for domain, record in part}


def _share(
    look: Look, domains: list[libvirt.virDomain], groups: int
) -> list[tuple[libvirt.virDomain, Record]]:
    """The records of some domains; where one spoils the answer, they are asked one by one."""
    connection = look.connection
    try:
        return look.call(connection.domainListGetStats, domains, groups, _NOWAIT)
    except VirtError as error:
        if look.is_lost(error) or error.failure == "unsupported":
            raise
        if len(domains) == 1:
            look.note_error(PART, error)
            return []
    return [record for domain in domains for record in _share(look, [domain], groups)]


def _single_records(look: Look, active: Mapping[str, libvirt.virDomain]) -> dict[str, Record]:
    answers = each(lambda entry: (entry[0], _info(look, entry[1])), list(active.items()))
    return {uuid: record for uuid, record in answers if record is not None}


def _info(look: Look, domain: libvirt.virDomain) -> Record | None:
    """`info()` in the keys of the bulk call; None when this one cannot be asked."""
    try:
        _state, maximum, memory, vcpus, cpu_time = look.call(domain.info)
    except VirtError as error:
        if error.failure != "gone":
            look.note_error(PART, error)
        return None
    return {
        "cpu.time": cpu_time,
        "balloon.current": memory,
        "balloon.maximum": maximum,
        "vcpu.current": vcpus,
    }


def beyond_count(record: Record) -> int:
    """How many values of one record are beyond 63 bits."""
    return sum(1 for value in record.values() if isinstance(value, int) and value > MAX_INTEGER)


def sample_of(record: Record) -> DomainSample:
    """The sample that one record of the bulk call holds."""
    return DomainSample(
        cpu_time_ns=_counter(record, "cpu.time"),
        memory_bytes=_memory(record, "balloon.current"),
        memory_usable_bytes=_memory(record, "balloon.usable"),
        memory_unused_bytes=_memory(record, "balloon.unused"),
        memory_rss_bytes=_memory(record, "balloon.rss"),
        disk_read_bytes=_total(record, "block", "rd.bytes"),
        disk_write_bytes=_total(record, "block", "wr.bytes"),
        disk_read_requests=_total(record, "block", "rd.reqs"),
        disk_write_requests=_total(record, "block", "wr.reqs"),
        net_rx_bytes=_total(record, "net", "rx.bytes"),
        net_tx_bytes=_total(record, "net", "tx.bytes"),
        net_rx_packets=_total(record, "net", "rx.pkts"),
        net_tx_packets=_total(record, "net", "tx.pkts"),
        net_rx_drops=_total(record, "net", "rx.drop"),
        net_tx_drops=_total(record, "net", "tx.drop"),
        net_rx_errors=_total(record, "net", "rx.errs"),
        net_tx_errors=_total(record, "net", "tx.errs"),
    )


def parts_of(record: Record) -> Iterator[Part]:
    """The disks and the NICs of one record, of each where there are several."""
    for index in _several(record, "block"):
        yield Part("disk", str(record.get(f"block.{index}.name", "")), DeviceSample(
            disk_read_bytes=_counter(record, f"block.{index}.rd.bytes"),
            disk_write_bytes=_counter(record, f"block.{index}.wr.bytes"),
            disk_read_requests=_counter(record, f"block.{index}.rd.reqs"),
            disk_write_requests=_counter(record, f"block.{index}.wr.reqs"),
        ))  # fmt: skip
    for index in _several(record, "net"):
        yield Part("nic", str(record.get(f"net.{index}.name", "")), DeviceSample(
            net_rx_bytes=_counter(record, f"net.{index}.rx.bytes"),
            net_tx_bytes=_counter(record, f"net.{index}.tx.bytes"),
            net_rx_packets=_counter(record, f"net.{index}.rx.pkts"),
            net_tx_packets=_counter(record, f"net.{index}.tx.pkts"),
            net_rx_drops=_counter(record, f"net.{index}.rx.drop"),
            net_tx_drops=_counter(record, f"net.{index}.tx.drop"),
            net_rx_errors=_counter(record, f"net.{index}.rx.errs"),
            net_tx_errors=_counter(record, f"net.{index}.tx.errs"),
        ))  # fmt: skip


def is_silent(record: Record, parts: Collection[Part]) -> bool:
    """Whether a record says nothing of the disks, as that of a domain does that is busy."""
    disks = [part.sample for part in parts if part.sort == "disk"]
    nothing = DeviceSample()
    return "block.count" not in record or (bool(disks) and all(one == nothing for one in disks))


def _several(record: Record, group: str) -> range:
    count = record.get(f"{group}.count")
    return range(count) if isinstance(count, int) and 1 < count <= _MAX_DEVICES else range(0)


def _counter(record: Record, key: str) -> int | None:
    value = record.get(key)
    return value if isinstance(value, int) and 0 <= value <= MAX_INTEGER else None


def _memory(record: Record, key: str) -> int | None:
    value = _counter(record, key)
    return value * _KIB if value is not None and value * _KIB <= MAX_INTEGER else None


def _total(record: Record, group: str, key: str) -> int | None:
    """The sum over the devices of `group`; None when there are some and none of them tells."""
    count = record.get(f"{group}.count")
    if not isinstance(count, int) or not 0 <= count <= _MAX_DEVICES:
        return None
    values = [_counter(record, f"{group}.{index}.{key}") for index in range(count)]
    told = [value for value in values if value is not None]
    if count and not told:
        return None
    return total if (total := sum(told)) <= MAX_INTEGER else None
