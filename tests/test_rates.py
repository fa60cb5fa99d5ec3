"""Rates of a domain between its last two scans."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.inventory import Domain, DomainSample
from app.metrics import domain_memory_used_bytes
from app.store.history import Seen
from app.web.rates import DomainRates, domain_rates, total

counters = st.none() | st.integers(0, 2**63 - 1)
samples = st.builds(
    DomainSample,
    cpu_time_ns=counters,
    disk_read_bytes=counters,
    disk_write_bytes=counters,
    net_rx_bytes=counters,
    net_tx_bytes=counters,
)


def seen(
    sample: DomainSample | None,
    previous: DomainSample | None,
    elapsed_ms: int | None = 10_000,
    vcpus: int | None = 4,
) -> Seen[Domain, DomainSample]:
    domain = Domain(uuid="u", name="n", state="running", vcpus=vcpus)
    return Seen(
        "kvm-01", "u", 1, domain, 20_000, 0, known=True,
        sample=sample, previous=previous, elapsed_ms=elapsed_ms,
    )  # fmt: skip


def test_rates_are_differences_per_second_and_cpu_is_a_share_of_the_vcpus() -> None:
    before = DomainSample(10 * 10**9, None, None, None, None, 1000, 2000, 0, 0, 50, 60)
    now = DomainSample(30 * 10**9, None, None, None, None, 6000, 2000, 0, 0, 150, 260)
    assert domain_rates(seen(now, before)) == DomainRates(0.5, 500, 0, 10, 20)


def test_a_counter_that_went_down_has_no_rate_and_does_not_spoil_the_others() -> None:
    before = DomainSample(cpu_time_ns=0, disk_read_bytes=500, net_rx_bytes=0)
    now = DomainSample(cpu_time_ns=10**9, disk_read_bytes=400, net_rx_bytes=1000)
    rates = domain_rates(seen(now, before))
    assert rates.disk_read is None
    assert rates.net_rx == 100


def test_after_a_restart_nothing_has_a_rate_even_where_a_counter_has_overtaken_its_old_value() -> (
    None
):
    before = DomainSample(cpu_time_ns=10**12, disk_read_bytes=500)
    now = DomainSample(cpu_time_ns=10**9, disk_read_bytes=9000)
    assert domain_rates(seen(now, before)) == DomainRates()


@pytest.mark.parametrize("elapsed_ms", [None, 0, -5])
def test_without_time_between_two_samples_there_is_no_rate(elapsed_ms: int | None) -> None:
    sample = DomainSample(cpu_time_ns=1, disk_read_bytes=1)
    assert domain_rates(seen(sample, sample, elapsed_ms)) == DomainRates()


def test_the_first_scan_has_no_rates() -> None:
    assert domain_rates(seen(DomainSample(cpu_time_ns=1), None, None)) == DomainRates()
    assert domain_rates(seen(None, DomainSample(cpu_time_ns=1))) == DomainRates()


@pytest.mark.parametrize("vcpus", [None, 0])
def test_cpu_is_unknown_while_the_vcpus_are(vcpus: int | None) -> None:
    before, now = DomainSample(cpu_time_ns=1), DomainSample(cpu_time_ns=2)
    assert domain_rates(seen(now, before, vcpus=vcpus)).cpu is None


@given(samples, samples, st.integers(1, 10**9))
def test_no_rate_is_ever_negative(now: DomainSample, before: DomainSample, elapsed_ms: int) -> None:
    rates = domain_rates(seen(now, before, elapsed_ms))
    assert all(rate is None or rate >= 0 for rate in rates)


def test_a_total_is_of_what_is_known_and_unknown_where_nothing_is() -> None:
    assert total(1.5, 2) == 3.5
    assert total(None, 2) == 2
    assert total(1, None) == 1
    assert total(None, None) is None


def test_memory_in_use_is_what_the_balloon_tells_and_else_what_qemu_holds() -> None:
    assert domain_memory_used_bytes(DomainSample(memory_bytes=100, memory_usable_bytes=30)) == 70
    assert domain_memory_used_bytes(DomainSample(memory_bytes=100, memory_unused_bytes=40)) == 60
    assert domain_memory_used_bytes(DomainSample(memory_bytes=100, memory_rss_bytes=130)) == 100
    assert domain_memory_used_bytes(DomainSample(memory_rss_bytes=130)) == 130
    assert domain_memory_used_bytes(DomainSample(memory_bytes=100)) is None
    assert domain_memory_used_bytes(None) is None
