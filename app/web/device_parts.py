"""Of a domain's counters, what each of its disks and NICs counted. Pure.

One by one, since the sum of several falls when one is taken away, which looks like counting anew.
Where it is not known which of them counted what, it is the domain's as a whole, without a name.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple, get_args

from app.inventory import DeviceSample, Domain, DomainSample
from app.store.device_counts import DeviceCount
from app.store.views import Seen

DeviceSort = Literal["disk", "nic"]
SORTS: tuple[DeviceSort, ...] = get_args(DeviceSort)


class Part(NamedTuple):
    """A device's own name (a disk's target, a NIC's MAC address; None: all of them), and the sample
    that tells what it counted: its own, or its domain's. Of an `idle` one that is nothing, as far
    as the domain's tells anything.
    """

    device: str | None
    sample: DomainSample | DeviceSample | None
    idle: bool = False


def parts_of(
    seen: Seen[Domain, DomainSample], sort: DeviceSort, counts: Mapping[str, DeviceCount]
) -> list[Part]:
    """The disks or NICs of a domain that was measured, by what `counts` tells of them."""
    if sort == "disk":
        names = [disk.target for disk in seen.fact.disks]
    else:
        names = [nic.mac for nic in seen.fact.nics]
    if len(names) == 1:
        return [Part(names[0], seen.sample)]
    known = [
        (name, count)
        for name in names
        if (count := counts.get(f"{sort}:{name}")) is not None and count.run == seen.fact.id
    ]
    if not known or len(set(names)) < len(names):
        return [Part(None, seen.sample)]
    return [
        Part(
            name,
            count.sample if count.share == "own" else seen.sample,
            idle=count.share == "nothing",
        )
        for name, count in known
        # One that was too busy to answer tells nothing.
        if count.share != "own" or count.sample is not None
    ]
