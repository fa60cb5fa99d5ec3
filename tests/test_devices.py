"""Disks and NICs: told one by one where a domain has several, and as the domain's where not."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from app.inventory import (
    Device,
    DeviceSample,
    Disk,
    Domain,
    DomainSample,
    Host,
    HostSample,
    Nic,
    Scan,
    device_names,
)
from app.metrics import METRIC_BY_NAME
from app.store.compaction import Compactor
from app.store.devices import device_series
from app.store.record import Recorder
from app.store.series import Found, find_object
from app.virt.read.devices import DeviceReader, Devices
from app.virt.read.stats import Measured, is_silent, parts_of, sample_of
from tests.made_once import open_store
from tests.storing import a_host
from tests.web_support import make_web

UUID = "00000000-0000-4000-8000-000000000001"
MAC, OTHER_MAC = "52:54:00:00:00:01", "52:54:00:00:00:02"
MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
FIRST_MS = 20_500 * DAY_MS
DOMAIN = Domain(
    UUID, "web", "running", id=3, vcpus=1,
    disks=(Disk("vda"), Disk("sda", "cdrom")),
    nics=(Nic(MAC, "network", target="vnet0"), Nic(OTHER_MAC, "network", target="vnet1")),
)  # fmt: skip


def _record(vda: int, sda: int, vnet0: int = 0, vnet1: int = 0) -> dict[str, Any]:
    """What libvirt's bulk call tells of two disks that read and two NICs that received."""
    record: dict[str, Any] = {"block.count": 2, "net.count": 2}
    for index, (name, count) in enumerate((("vda", vda), ("sda", sda))):
        record |= {
            f"block.{index}.name": name, f"block.{index}.rd.bytes": count * 4096,
            f"block.{index}.rd.reqs": count, f"block.{index}.wr.bytes": 0,
            f"block.{index}.wr.reqs": 0,
        }  # fmt: skip
    for index, (name, count) in enumerate((("vnet0", vnet0), ("vnet1", vnet1))):
        record |= {f"net.{index}.name": name, f"net.{index}.rx.bytes": count}
    return record


def _measured(record: dict[str, Any]) -> Measured:
    parts = tuple(parts_of(record))
    silent = {UUID} if is_silent(record, parts) else set[str]()
    return Measured({UUID: sample_of(record)}, {}, {UUID: parts} if parts else {}, silent)


def _read(reader: DeviceReader, record: dict[str, Any], domain: Domain = DOMAIN) -> Devices:
    found = reader.read(_measured(record), {UUID: domain})
    assert found is not None
    return found


def _shares(devices: Devices) -> dict[str, str]:
    return {fact.name: fact.share for fact in devices.facts.values()}


def test_devices_are_named_by_target_and_address() -> None:
    assert device_names(DOMAIN) == ("disk:vda", "disk:sda", f"nic:{MAC}", f"nic:{OTHER_MAC}")


def test_one_busy_disk_among_several_needs_no_samples_of_its_own() -> None:
    devices = _read(DeviceReader(), _record(9, 0))
    assert _shares(devices) == {
        "disk:vda": "whole", "disk:sda": "nothing", f"nic:{MAC}": "nothing",
        f"nic:{OTHER_MAC}": "nothing",
    }  # fmt: skip
    assert devices.samples == {}


def test_devices_that_share_the_work_are_measured_one_by_one() -> None:
    devices = _read(DeviceReader(), _record(9, 2, 100, 50))
    assert set(_shares(devices).values()) == {"own"}
    assert devices.samples[f"{UUID}/disk:sda"].disk_read_bytes == 2 * 4096
    assert devices.samples[f"{UUID}/disk:vda"].disk_read_requests == 9
    assert devices.samples[f"{UUID}/nic:{OTHER_MAC}"].net_rx_bytes == 50
    assert devices.samples[f"{UUID}/nic:{OTHER_MAC}"].disk_read_bytes is None


def test_a_domain_with_one_of_a_sort_has_no_devices_of_that_sort() -> None:
    record = _record(9, 2) | {"block.count": 1, "net.count": 1}
    assert _read(DeviceReader(), record) == Devices({}, {})


def test_nothing_new_is_the_same_objects() -> None:
    reader = DeviceReader()
    first, second = _read(reader, _record(9, 2)), _read(reader, _record(12, 2))
    for key, fact in first.facts.items():
        assert second.facts[key] is fact
    anew = _read(reader, _record(1, 1), replace(DOMAIN, id=4))
    assert {fact.run for fact in anew.facts.values()} == {4}


def test_a_busy_domain_keeps_its_devices_and_has_no_samples() -> None:
    reader = DeviceReader()
    first = _read(reader, _record(9, 2))
    busy: dict[str, Any] = {"block.count": 2, "block.0.name": "vda", "block.1.name": "sda"}
    for record in (busy, {}):
        devices = _read(reader, record)
        assert devices.facts == first.facts
        assert devices.samples == {}


def test_a_nic_whose_address_is_not_known_yet_is_left_out() -> None:
    domain = replace(DOMAIN, nics=DOMAIN.nics[:1])
    devices = _read(DeviceReader(), _record(9, 2, 5, 5), domain)
    assert f"nic:{MAC}" in _shares(devices)
    assert len(devices.facts) == 3


def test_nothing_measured_is_no_list_of_devices() -> None:
    assert DeviceReader().read(None, {UUID: DOMAIN}) is None


# --- over time ----------------------------------------------------------------------------------

# The second disk is put in here, does its first work there; the domain starts anew after that.
ADDED_MS, BUSY_MS, ANEW_MS = (FIRST_MS + hour * HOUR_MS for hour in (4, 8, 26))
END_MS = FIRST_MS + 30 * HOUR_MS
READ = METRIC_BY_NAME["device", "disk_read_bytes"]
VDA, VDB = f"{UUID}/disk:vda", f"{UUID}/disk:vdb"


class Told:
    """Thirty hours of a domain whose first disk reads 100 bytes a second, and its second 40."""

    def __init__(self, path: Path) -> None:
        self.store = open_store(path)
        self.host = a_host(self.store, "kvm-01")
        recorder = Recorder(self.store, self.host, MINUTE_MS)
        for at_ms in range(FIRST_MS, END_MS, MINUTE_MS):
            recorder.record(self._scan(at_ms))
        compactor = Compactor(self.store)
        while compactor.step(FIRST_MS + DAY_MS + HOUR_MS):
            pass

    def _scan(self, at_ms: int) -> Scan:
        run, since_ms = (4, ANEW_MS) if at_ms >= ANEW_MS else (3, FIRST_MS)
        first = (at_ms - since_ms) // 10
        second = max(0, at_ms - max(since_ms, BUSY_MS)) // 25
        disks = (Disk("vda"), Disk("vdb")) if at_ms >= ADDED_MS else (Disk("vda"),)
        samples: Mapping[str, DeviceSample] = {}
        devices: Mapping[str, Device] = {}
        if at_ms >= ADDED_MS:
            both = second > 0
            devices = {
                VDA: Device(UUID, "disk:vda", "own" if both else "whole", run),
                VDB: Device(UUID, "disk:vdb", "own" if both else "nothing", run),
            }
            if both:
                samples = {VDA: DeviceSample(first), VDB: DeviceSample(second)}
        return Scan(
            at_ms=at_ms, took_ms=1, ok=True, host=Host(uri="qemu:///system"),
            host_sample=HostSample(),
            domains={UUID: Domain(UUID, "web", "running", id=run, vcpus=1, disks=disks)},
            domain_samples={
                UUID: DomainSample(cpu_time_ns=at_ms - since_ms, disk_read_bytes=first + second)
            },
            devices=devices, device_samples=samples,
        )  # fmt: skip

    def read(self, key: str, from_ms: int, to_ms: int, points: int) -> Found:
        domain = find_object(self.store, self.host.id, "domain", UUID)
        assert domain is not None
        return device_series(self.store, domain, key, [READ], from_ms, to_ms, points)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    made = Told(tmp_path_factory.mktemp("devices") / "npvirt.sqlite")
    yield made
    made.store.close()


def _values(found: Found, from_ms: int, to_ms: int) -> list[float | None]:
    values = found.lines["disk_read_bytes"].average
    return [
        value
        for at_ms, value in zip(found.starts_ms, values, strict=True)
        if from_ms <= at_ms and at_ms + found.width_ms <= to_ms
    ]


@pytest.mark.parametrize("points", [30, 200, 2000])
def test_a_disk_goes_on_when_another_is_added_and_works(told: Told, points: int) -> None:
    found = told.read(VDA, FIRST_MS, END_MS, points)
    seen = [value for value in _values(found, FIRST_MS + HOUR_MS, END_MS) if value is not None]
    assert seen == pytest.approx([100] * len(seen), rel=0.001)
    # Unknown for a minute each: when it began to be measured on its own, and when it began anew.
    assert len(_values(found, FIRST_MS + HOUR_MS, END_MS)) - len(seen) <= 4


@pytest.mark.parametrize("points", [30, 200, 2000])
def test_a_disk_that_did_nothing_is_told_as_nothing(told: Told, points: int) -> None:
    found = told.read(VDB, FIRST_MS, END_MS, points)
    assert set(_values(found, FIRST_MS, ADDED_MS)) == {None}
    assert set(_values(found, ADDED_MS + HOUR_MS, BUSY_MS - HOUR_MS)) == {0}
    busy = _values(found, BUSY_MS + HOUR_MS, ANEW_MS)
    assert busy == pytest.approx([40] * len(busy), rel=0.001)
    anew = [value for value in _values(found, ANEW_MS, END_MS) if value is not None]
    assert anew == pytest.approx([40] * len(anew), rel=0.001)
    assert anew


def test_samples_are_told_one_by_one(told: Told) -> None:
    found = told.read(VDA, ANEW_MS - HOUR_MS, ANEW_MS + HOUR_MS, 300)
    assert (found.tier, len(found.starts_ms)) == ("raw", 120)
    unknown = [
        at_ms
        for at_ms, value in zip(
            found.starts_ms, found.lines["disk_read_bytes"].average, strict=True
        )
        if value is None
    ]
    assert all(ANEW_MS <= at_ms <= ANEW_MS + 2 * MINUTE_MS for at_ms in unknown)


def test_devices_are_no_changes_of_their_own(told: Told) -> None:
    with told.store.reading() as connection:
        kinds = connection.exec_driver_sql("SELECT DISTINCT kind FROM change").scalars().all()
        (busy,) = connection.exec_driver_sql(
            f"SELECT max(changes) FROM scan WHERE at_ms BETWEEN {BUSY_MS} AND {BUSY_MS + HOUR_MS}"
        ).one()
    assert "device" not in kinds
    assert busy == 0


# --- the API ------------------------------------------------------------------------------------


def test_the_api_tells_devices_and_refuses_what_is_none(tmp_path: Path) -> None:
    web = make_web(tmp_path / "var")
    host = a_host(web.store, "kvm-01")
    recorder = Recorder(web.store, host, MINUTE_MS)
    for number in range(20):
        recorder.record(
            Scan(
                at_ms=FIRST_MS + number * MINUTE_MS, took_ms=1, ok=True,
                host=Host(uri="qemu:///system"), host_sample=HostSample(),
                domains={UUID: replace(DOMAIN, disks=(Disk("vda"),))},
                domain_samples={
                    UUID: DomainSample(cpu_time_ns=number, disk_read_bytes=number * 6000)
                },
            )
        )  # fmt: skip
    begin = FIRST_MS // 1000
    base = f"/api/v1/series?host=kvm-01&from={begin}&to={begin + 1200}&domain={UUID}"
    told = web.client.get(f"{base}&device=disk:vda&metric=disk_read_bytes").get_json()
    assert told["avg"][1:] == pytest.approx([100] * 19)
    for rest, status in (
        ("&device=disk:vdz&metric=disk_read_bytes", 404),
        ("&device=disk:vda&metric=net_rx_bytes", 422),
        ("&device=disk:vda&metric=cpu", 422),
        ("&device=tape:0&metric=disk_read_bytes", 422),
        ("&device=&metric=disk_read_bytes", 422),
    ):
        assert web.client.get(base + rest).status_code == status, rest
    of_host = f"/api/v1/series?host=kvm-01&kind=host&device=disk:vda&metric=cpu&from={begin}"
    assert web.client.get(of_host).status_code == 422
    web.store.close()
