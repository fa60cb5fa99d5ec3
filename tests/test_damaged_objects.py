"""One object that cannot be read hides no other, and is told anew by the next scan."""

from pathlib import Path

import pytest

from app.clock import now_ms
from app.store.history import fleet
from app.store.hosts import get_host
from app.store.record import Recorder
from tests.faults.store import Injected, fold, overwrite
from tests.web_support import INTERVAL_MS, a_scan, fill, make_web


@pytest.mark.parametrize("body", [b"\xff\xfe\xff\xfe\xff\xfe", b'"",,{}'], ids=["no text", "text"])
def test_one_that_is_damaged_is_left_out_until_it_is_seen_again(
    tmp_path: Path, body: bytes
) -> None:
    web = make_web(tmp_path / "var")
    fill(web.store)
    record = get_host(web.store, "kvm-01")
    names = {seen.fact.name for seen in fleet(web.store, None).domains if seen.host == "kvm-01"}
    assert len(names) > 1
    with web.store.reading() as connection:
        number, text = connection.exec_driver_sql(
            "SELECT id, body FROM revision WHERE kind = 'domain' AND valid_to_ms IS NULL LIMIT 1"
        ).one()
    path = web.store.path
    web.store.close()
    fold(path)
    injected = Injected()
    overwrite(path, path.read_bytes().index(text.encode()), body, injected)
    web = make_web(tmp_path / "var")
    seen = {one.fact.name for one in fleet(web.store, None).domains if one.host == "kvm-01"}
    assert injected.count == 1
    assert len(seen) == len(names) - 1, number
    for address in ("/", "/hosts", "/domains", "/hosts/kvm-01"):
        assert "one object cannot be read" in web.text(address)
    assert "one object cannot be read" in web.text("/ui/trouble")
    Recorder(web.store, record, INTERVAL_MS).record(a_scan(record, now_ms()))
    again = {one.fact.name for one in fleet(web.store, None).domains if one.host == "kvm-01"}
    assert again == names
    web.store.close()
