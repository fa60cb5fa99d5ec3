"""What the test driver is made to hold for the proof of every call, and how two scans compare."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from app.inventory import Scan
from tests.read_support import (
    INTERFACES,
    NETWORK,
    PAUSED,
    RUNNING,
    SHUTOFF,
    disk_xml,
    domain_xml,
    pool_xml,
    uuid_of,
)

_SNAPSHOT = (
    "<test:domainsnapshot><name>before</name><state>shutoff</state>"
    "<creationTime>1777627800</creationTime><active>1</active>"
    "<domain type='test'><name>{name}</name><uuid>{uuid}</uuid><memory>204800</memory>"
    "<os><type arch='x86_64'>hvm</type></os></domain></test:domainsnapshot>"
)


def _snapshot(domain: str) -> str:
    return _SNAPSHOT.format(name=domain, uuid=uuid_of(domain))


_NIC = (
    "<interface type='network'><mac address='52:54:00:00:00:01'/><source network='default'/>"
    "</interface>"
)
INVENTORIES: tuple[tuple[str, ...], ...] = (
    (
        NETWORK,
        INTERFACES,
        domain_xml("up", state=RUNNING, devices=disk_xml("/images/a.qcow2") + _NIC),
        domain_xml("down", extra=_snapshot("down")),
        pool_xml("images", ["a.qcow2", "b.qcow2"]),
    ),
    (
        NETWORK,
        INTERFACES,
        *(
            domain_xml(
                f"vm-{n}", state=(RUNNING, PAUSED, SHUTOFF)[n % 3], extra=_snapshot(f"vm-{n}")
            )
            for n in range(12)
        ),
        *(pool_xml(f"pool-{n}", [f"{n}-{v}.qcow2" for v in range(4)]) for n in range(3)),
    ),
    (domain_xml("only", state=PAUSED), pool_xml("empty", [])),
)

# What sums up other objects, and is less when one of them is gone.
_SUMS = (
    "running_domains", "defined_domains", "assigned_vcpus", "assigned_memory_bytes",
    "volumes_capacity_bytes", "volume_count",
)  # fmt: skip
_KINDS = ("domains", "pools", "networks", "interfaces", "devices")
_SAMPLES = ("domain_samples", "pool_samples", "volume_samples", "device_samples")


def write(directory: Path, number: int) -> Path:
    """The node file of an inventory."""
    path = directory / f"node-{number}.xml"
    path.write_text(f"<node>{''.join(INVENTORIES[number])}</node>", encoding="utf-8")
    return path


def differences(whole: Scan, seen: Scan, *, volumes: bool = True) -> list[str]:
    """Which facts of a whole scan the other lacks or has otherwise, and which figures it lacks;
    what volumes hold, which is not measured in every scan, only with `volumes`.
    """
    found = [
        f"{name} of {kind} {key}"
        for kind, key, before, after in _pairs(whole, seen)
        if volumes or kind != "volume_sample"
        for name, (old, new) in _fields(before, after).items()
        if (new is None and old is not None if kind.endswith("_sample") else old != new)
    ]
    lists = [kind for kind in _KINDS if _len(whole, kind) != _len(seen, kind)]
    return [*found, *lists]


def false_values(whole: Scan, seen: Scan, *, gone: bool) -> list[str]:
    """What the other scan says that is not so: a figure of 0 or another fact, where it could only
    be unknown; objects that are left out of a list that is there, unless one may be `gone`.
    """
    found = []
    for kind, key, before, after in _pairs(whole, seen):
        if after is None:
            if not gone and not kind.endswith("_sample"):
                found.append(f"{kind} {key} is left out")
            continue
        damaged = getattr(after, "damaged", None) is not None
        for name, (old, new) in _fields(before, after).items():
            if _is_less(old, new) or damaged or name in ("damaged", "not_available"):
                continue
            if gone and name in _SUMS:
                continue
            is_zero = isinstance(old, int) and old != 0 and new == 0
            if is_zero or (not kind.endswith("_sample") and not gone):
                found.append(f"{name} of {kind} {key} is {new!r} and was {old!r}")
    return found


def _pairs(whole: Scan, seen: Scan) -> Iterator[tuple[str, str, Any, Any]]:
    """The objects of the whole scan beside those of the other, where that has their list."""
    yield "host", "", whole.host, seen.host
    yield "host_sample", "", whole.host_sample, seen.host_sample
    for kind in (*_KINDS, *_SAMPLES):
        before, after = getattr(whole, kind), getattr(seen, kind)
        if before is None or after is None:
            continue
        label = kind.removesuffix("s")
        for key, one in before.items():
            yield label, str(key), one, after.get(key)
    for pool, volumes in whole.volumes.items():
        if pool in seen.volumes:
            for name, one in volumes.items():
                yield "volume", name, one, seen.volumes[pool].get(name)


def _is_less(old: Any, new: Any) -> bool:
    """Whether a value says the same as another, but for what is unknown now."""
    if new is None or new == old:
        return True
    if isinstance(old, tuple) and isinstance(new, tuple) and len(old) == len(new):
        return all(map(_is_less, old, new))
    if isinstance(old, msgspec.Struct) and type(old) is type(new):
        return all(_is_less(*pair) for pair in _fields(old, new).values())
    return False


def _fields(before: Any, after: Any) -> Mapping[str, tuple[Any, Any]]:
    if before is None:
        return {}
    old = msgspec.structs.asdict(before)
    new = {} if after is None else msgspec.structs.asdict(after)
    return {name: (value, new.get(name)) for name, value in old.items()}


def _len(scan: Scan, kind: str) -> int | None:
    found = getattr(scan, kind)
    return None if found is None else len(found)
