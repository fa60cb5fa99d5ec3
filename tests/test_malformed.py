"""What is malformed, endless or before all time is refused in words, and is no error of npvirt."""

from pathlib import Path
from typing import Any

import pytest

from app.cli import main
from app.store.demonstration import Mark, write_mark
from tests.made_once import open_store
from tests.web_support import Web

HUGE = 10**30
MALFORMED = ("http://[", "//[", "http://\N{SCRIPT CAPITAL E}\N{ROMAN NUMERAL EIGHT}[.x/")


@pytest.mark.parametrize(
    "address",
    [f"/changes/{HUGE}", f"/ui/changes/{HUGE}", f"/changes/{2**63}", f"/changes/{2**63 - 1}"],
)
def test_a_number_that_no_row_can_have_is_not_found(web: Web, address: str) -> None:
    assert web.client.get(address).status_code == 404


@pytest.mark.parametrize(
    "at", ["0001-01-01T00:00Z", "0001-01-01T00:00%2B14:00", "1969-12-31T23:59Z"]
)
@pytest.mark.parametrize(
    "address", ["/", "/domains", "/ui/domains", "/changes", "/api/v1/domains", "/api/v1/compare",
                "/api/v1/series?kind=fleet&metric=cpu"],
)  # fmt: skip
def test_a_moment_before_all_time_is_refused(web: Web, address: str, at: str) -> None:
    answer = web.client.get(f"{address}{'&' if '?' in address else '?'}at={at}")
    assert answer.status_code == 422, answer.text[:200]


@pytest.mark.parametrize("shown", MALFORMED)
def test_a_malformed_address_leads_to_no_error(web: Web, shown: str) -> None:
    headers = {"HX-Request": "true", "HX-Current-URL": shown.encode().decode("latin-1")}
    for address in ("/ui/ribbon", "/ui/domains", "/ui/changes", "/domains"):
        assert web.client.get(address, headers=headers).status_code < 500, address
    assert web.client.get("/go", query_string={"page": shown, "time": "09:30"}).status_code < 500
    web.sign_out()
    assert web.client.get("/domains", headers=headers).status_code == 401


def test_endless_digits_are_refused(web: Web) -> None:
    for address in ("/store?hosts=", "/api/v1/store?domains="):
        assert web.client.get(address + "9" * 5000).status_code == 422


def test_what_is_exported_is_for_its_owner_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NPVIRT_DATA", str(tmp_path / "var"))
    file = tmp_path / "audit.csv"
    with pytest.raises(SystemExit) as stop:
        main(["export", "--table", "audit", "-o", str(file)])
    assert not stop.value.code
    assert file.stat().st_mode & 0o777 == 0o600


def test_no_store_is_restored_into_a_demonstration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    data, kept = tmp_path / "var", tmp_path / "kept.sqlite"
    store = open_store(kept)
    store.close()
    data.mkdir(mode=0o700)
    write_mark(data, Mark(0, 1, 1, 1, 1))
    monkeypatch.setenv("NPVIRT_DATA", str(data))
    with pytest.raises(SystemExit) as stop:
        main(["restore", "--yes", str(kept)])
    assert stop.value.code == 1
    assert "demonstration" in capsys.readouterr().err
    assert not (data / "npvirt.sqlite").exists()
