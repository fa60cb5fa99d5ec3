"""The disks and NICs of running domains that have several of a sort, each with what it counted.

Owns which of them are told one by one: where one alone has done anything since the domain was
started, the domain's own figures are its figures, and no samples are needed. Stays the same
objects from scan to scan where nothing differs.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from msgspec import structs

from app.inventory import Device, DeviceSample, Domain, Share
from app.virt.read.stats import Measured, Part


class Devices(NamedTuple):
    """By domain's UUID and device's name; `samples` of those that count on their own."""

    facts: Mapping[str, Device]
    samples: Mapping[str, DeviceSample]


class _Known(NamedTuple):
    run: int | None
    shares: tuple[tuple[str, Share], ...]
    facts: Mapping[str, Device]


class DeviceReader:
    """Tells the devices of one host and remembers them between scans."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}

    def read(
        self, measured: Measured | None, domains: Mapping[str, Domain] | None
    ) -> Devices | None:
        """The devices of a scan; None when nothing was measured."""
        if measured is None or domains is None:
            return None
        known, self._known = self._known, {}
        facts: dict[str, Device] = {}
        samples: dict[str, DeviceSample] = {}
        for uuid in measured.samples:
            domain = domains.get(uuid)
            if domain is None:
                continue
            # Of one that was too busy to answer nothing new is known.
            parts = () if uuid in measured.silent else measured.parts.get(uuid, ())
            before = known.get(uuid)
            if uuid in measured.silent and before is not None and before.run == domain.id:
                self._known[uuid] = before
                facts |= before.facts
            elif parts:
                told = _told(domain, parts)
                now = self._known[uuid] = _facts(domain, _shares(told), before)
                facts |= now.facts
                samples |= {
                    f"{uuid}/{name}": told[name] for name, share in now.shares if share == "own"
                }
        return Devices(facts, samples)


def _told(domain: Domain, parts: Iterable[Part]) -> dict[str, DeviceSample]:
    """What was counted, by name; a NIC whose MAC address is not known yet is left out."""
    macs = {nic.target: nic.mac for nic in domain.nics if nic.target}
    found = {}
    for part in parts:
        if part.sort == "disk":
            found[f"disk:{part.target}"] = part.sample
        elif part.target in macs:
            found[f"nic:{macs[part.target]}"] = part.sample
    return found


def _shares(told: Mapping[str, DeviceSample]) -> tuple[tuple[str, Share], ...]:
    busy = {name for name, sample in told.items() if any(structs.astuple(sample))}
    count = Counter(name.split(":", 1)[0] for name in busy)

    def share(name: str) -> Share:
        if name not in busy:
            return "nothing"
        return "whole" if count[name.split(":", 1)[0]] == 1 else "own"

    return tuple((name, share(name)) for name in told)


def _facts(domain: Domain, shares: tuple[tuple[str, Share], ...], before: _Known | None) -> _Known:
    if before is not None and before.run == domain.id and before.shares == shares:
        return before
    facts = {
        f"{domain.uuid}/{name}": Device(domain.uuid, name, share, domain.id)
        for name, share in shares
    }
    return _Known(domain.id, shares, facts)
