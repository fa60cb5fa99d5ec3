"""A host with 10,000 domains, of which one is not what it should be: scanned, stored, shown.

How long that takes is for the benchmark (tests/bench/huge). Planted to see it fail: no limit of
an XML's size, a list of missing parts without an end.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.clock import now_ms
from app.connection import Connection
from app.errors import DETAIL_MAX
from app.inventory import Scan
from app.store.hosts import add_host
from app.store.record import Recorder
from app.virt.problems import problem
from app.virt.read import Reader
from tests.read_support import (
    RUNNING,
    SHUTOFF,
    URI,
    Faults,
    domain_xml,
    opened,
    pool_xml,
    uuid_of,
    write_node,
)
from tests.test_read_faults import failed
from tests.web_support import Web, make_web

DOMAINS = 10_000
MONSTER = "vm-04711"


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> list[Scan]:
    """Two looks at the host; one domain's description is larger than any XML may be."""
    monster = f"<description>{'x' * (1 << 20)}</description>"
    names = [f"vm-{number:05d}" for number in range(DOMAINS)]
    domains = (
        domain_xml(
            name,
            state=RUNNING if number % 10 == 0 else SHUTOFF,
            extra=monster if name == MONSTER else "",
        )
        for number, name in enumerate(names)
    )
    node = write_node(tmp_path_factory.mktemp("huge"), *domains)
    reader = Reader(open_writable=None)
    with opened(node) as session:
        return [reader.scan(session, at_ms=now_ms() + n, uri=URI) for n in range(2)]


@pytest.fixture(scope="module")
def huge_web(scans: list[Scan], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """Pages of that host."""
    web = make_web(tmp_path_factory.mktemp("web") / "var", NPVIRT_TIMEZONE="UTC")
    recorder = Recorder(web.store, add_host(web.store, "huge", Connection()), 60_000)
    for scan in scans:
        recorder.record(scan)
    yield web
    web.store.close()


def test_all_are_read_and_the_one_that_is_too_large_is_a_marked_row(scans: list[Scan]) -> None:
    for scan in scans:
        assert scan.ok
        assert scan.domains is not None
        assert len(scan.domains) == DOMAINS
        assert [one.name for one in scan.domains.values() if one.damaged] == [MONSTER]


def listed(web: Web, query: str) -> Any:
    return json.loads(web.text(f"/api/v1/domains?{query}"))


def test_all_are_listed_counted_found_and_exported(huge_web: Web) -> None:
    first = listed(huge_web, "per_page=1000")
    assert (first["total"], len(first["items"])) == (DOMAINS, 1000)
    assert first["counts"]["active"] == DOMAINS // 10
    last = listed(huge_web, "page=100&sort=name")
    assert [one["name"] for one in last["items"]][-1] == f"vm-{DOMAINS - 1:05d}"
    assert [one["name"] for one in listed(huge_web, "q=vm-09999")["items"]] == ["vm-09999"]
    assert huge_web.text("/api/v1/domains?format=csv").count("\n") == DOMAINS + 1


def test_a_page_shows_a_hundred_of_them_and_how_many_there_are(huge_web: Web) -> None:
    page = huge_web.text("/domains?page=48&sort=name")
    assert page.count('<tr id="') == 100
    assert MONSTER in page
    assert "10000" in page or "10,000" in page
    assert huge_web.text(f"/hosts/huge/domains/{uuid_of(MONSTER)}")
    for address in ("/", "/hosts/huge", "/health"):
        assert "huge" in huge_web.text(address)


def test_of_very_many_parts_that_fail_the_first_are_told_and_how_many_more(tmp_path: Path) -> None:
    node = write_node(tmp_path, *(pool_xml(f"pool-{n}", ["v"]) for n in range(200)))
    with opened(node) as session:
        faults = Faults(session)
        faults.fail("XMLDesc", failed())
        scan = Reader(open_writable=None).scan(faults.session, at_ms=1, uri=URI)
    assert faults.injected >= 200
    assert scan.ok
    assert len(scan.missing) == 51
    # The pools', and the few other parts that go by a definition.
    assert re.fullmatch("15[0-9] more parts could not be read.", scan.missing[-1].reason)


def test_what_libvirt_says_of_a_failure_is_kept_to_a_length() -> None:
    error = problem("no-answer", detail="x" * 3_000_000)
    assert len(error.detail) == DETAIL_MAX
