"""Scans and gaps by the API: which there are, narrowed, sorted, paged, as a file, in the past."""

import csv
import io
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from app.clock import DAY_MS, now_ms, rfc3339
from app.connection import Connection
from app.inventory import Missing, Scan
from app.store import gap_list, scan_list
from app.store.archive import archive
from app.store.hosts import add_host, list_hosts
from app.store.record import Recorder
from tests.signing import bearer
from tests.web_support import HOSTILE, Web, make_web

MINUTE = 60_000
# Ten scans a minute apart, of which three failed and one lacks its networks; then half an hour of
# nothing, then three more.
TIMES = [*range(10), 40, 41, 42]
FAILED, PARTIAL = (4, 5, 6), 7


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    made = make_web(tmp_path_factory.mktemp("scans") / "var", NPVIRT_TIMEZONE="UTC")
    fill(made, now_ms() - 43 * MINUTE)
    yield made
    made.store.close()


def fill(
    web: Web, first_ms: int, times: Sequence[int] = TIMES, failed: Collection[int] = FAILED
) -> None:
    """kvm-01 as said above, or otherwise; kvm-02 was looked at every minute, and all went well."""
    for slug in ("kvm-01", "kvm-02"):
        record = add_host(web.store, slug, Connection(transport="ssh", host=f"{slug}.test"))
        with web.store.writing() as connection:
            connection.exec_driver_sql(f"UPDATE host SET created_at_ms = {first_ms - MINUTE}")
        recorder = Recorder(web.store, record, MINUTE)
        for minute in times if slug == "kvm-01" else range(43):
            at_ms = first_ms + minute * MINUTE + (slug == "kvm-02") * 7
            whole = slug == "kvm-02"
            recorder.record(_scan(at_ms, minute, whole=whole, ok=whole or minute not in failed))


def _scan(at_ms: int, minute: int, *, whole: bool, ok: bool) -> Scan:
    if not ok:
        return Scan(at_ms, 900 + minute, ok=False, problem="timeout", sentence=f"={HOSTILE}")
    missing = (Missing("networks", "No answer."),) if minute == PARTIAL and not whole else ()
    return Scan(at_ms, 100 + minute, ok=True, missing=missing, rpc_count=20)


def _json(web: Web, address: str, status: int = 200) -> Any:
    answer = web.client.get(f"/api/v1/{address}")
    assert answer.status_code == status, answer.text
    return answer.get_json()


def test_the_scans_of_a_day_are_listed_newest_first(web: Web) -> None:
    told = _json(web, "scans?host=kvm-01")
    assert told["total"] == len(TIMES)
    assert told["counts"] == {"ok": 9, "partial": 1, "failed": 3}
    times = [one["at"] for one in told["items"]]
    assert times == sorted(times, reverse=True)
    assert set(told["scans"]) == {"kvm-01"}
    newest = told["items"][0]
    assert (newest["host"], newest["outcome"], newest["took_ms"], newest["calls"]) == (
        "kvm-01", "ok", 142, 20,
    )  # fmt: skip
    assert newest["interval_ms"] == MINUTE
    assert _json(web, "scans")["total"] == len(TIMES) + 43


def test_scans_are_narrowed_by_outcome_and_stretch(web: Web) -> None:
    failed = _json(web, "scans?outcome=failed")
    assert [one["took_ms"] for one in failed["items"]] == [906, 905, 904]
    assert {one["problem"] for one in failed["items"]} == {"timeout"}
    assert failed["counts"]["ok"] == 9 + 43
    (partial,) = _json(web, "scans?outcome=partial")["items"]
    assert partial["missing"] == [{"part": "networks", "reason": "No answer."}]
    assert _json(web, "scans?outcome=partial&outcome=failed")["total"] == 4
    first, last = failed["items"][-1]["at"], failed["items"][0]["at"]
    assert _json(web, f"scans?host=kvm-01&from={first}&to={last}")["total"] == 3


def test_scans_are_sorted_and_paged(web: Web) -> None:
    longest = _json(web, "scans?sort=-took&per_page=2")
    assert [one["took_ms"] for one in longest["items"]] == [906, 905]
    assert [one["took_ms"] for one in _json(web, "scans?sort=took&per_page=2")["items"]] == [
        100, 100,
    ]  # fmt: skip
    pages = [_json(web, f"scans?host=kvm-01&per_page=5&page={page}") for page in (1, 2, 3, 4)]
    assert [len(one["items"]) for one in pages] == [5, 5, 3, 0]
    every = [one["at"] for page in pages for one in page["items"]]
    assert every == [one["at"] for one in _json(web, "scans?host=kvm-01")["items"]]


def _gaps(web: Web, query: str = "") -> Any:
    """The gaps up to the last scan: soon after it nobody has looked for too long, again."""
    return _json(web, f"gaps?to={_last(web)}{query}")


def _last(web: Web) -> str:
    """When the last scan of all began."""
    with web.store.reading() as connection:
        return rfc3339(connection.exec_driver_sql("SELECT max(at_ms) FROM scan").scalar_one())


def test_gaps_say_how_long_and_whether_anybody_looked_in_vain(web: Web) -> None:
    told = _gaps(web)
    assert (told["total"], told["counts"]) == (2, {"kvm-01": 2, "kvm-02": 0})
    quiet, silent = told["items"]
    assert (quiet["duration_ms"], quiet["failed_scans"]) == (31 * MINUTE, 0)
    assert (silent["duration_ms"], silent["failed_scans"]) == (4 * MINUTE, 3)
    assert quiet["from"] > silent["to"] > silent["from"]
    assert _gaps(web, "&sort=duration")["items"] == [silent, quiet]
    assert _gaps(web, "&sort=from&per_page=1&page=2")["items"] == [quiet]
    assert _gaps(web, "&host=kvm-02")["items"] == []


def test_a_gap_that_goes_on_has_no_end_yet(web: Web) -> None:
    gap = _gaps(web, "&sort=from")["items"][1]
    amid_ms = gap_at(web) + 10 * MINUTE
    told = _json(web, f"gaps?at={rfc3339(amid_ms)}")["items"][0]
    assert (told["from"], told["to"], told["duration_ms"]) == (gap["from"], None, None)


def gap_at(web: Web) -> int:
    """When the last scan was before half an hour of nothing."""
    with web.store.reading() as connection:
        rows = connection.exec_driver_sql("SELECT at_ms FROM scan WHERE host_id = 1 ORDER BY 1")
        return int([row.at_ms for row in rows][9])


def test_both_are_files_as_well(web: Web) -> None:
    answer = web.client.get("/api/v1/scans?format=csv&host=kvm-01")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) == len(TIMES)
    assert rows[8]["sentence"].startswith("'=")
    assert rows[5]["missing"] == "networks No answer."
    gaps = web.client.get(f"/api/v1/gaps?format=csv&to={_last(web)}").text.splitlines()
    assert gaps[0] == "host,from,to,duration_ms,failed_scans"
    assert len(gaps) == 3


@pytest.mark.parametrize(
    ("query", "name"),
    [("scans?outcome=good", "outcome"), ("scans?outcome=", "outcome"), ("scans?sort=name", "sort"),
     ("gaps?outcome=ok", "outcome"), ("scans?host=nobody", "host"), ("gaps?from=yesterday", "from"),
     ("scans?from=2026-05-01T00:00Z&to=2026-04-01T00:00Z", "from"), ("scans?points=3", "points")],
)  # fmt: skip
def test_what_is_not_asked_right_is_refused_in_words(web: Web, query: str, name: str) -> None:
    told = _json(web, query, 422)
    assert told["invalid"][0]["name"] == name
    assert told["detail"].endswith(".")


def test_hosts_out_of_scope_are_in_neither(web: Web) -> None:
    headers = bearer(web.store, "viewer", ["kvm-02"])
    nobody = web.app.test_client()
    for path in ("scans", "gaps"):
        told = nobody.get(f"/api/v1/{path}", headers=headers)
        assert "kvm-01" not in told.text
    assert nobody.get("/api/v1/scans", headers=headers).get_json()["total"] == 43


def test_of_archived_days_a_bounded_number_is_listed(
    empty_web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    first_ms = (now_ms() // DAY_MS - 6) * DAY_MS
    fill(empty_web, first_ms)
    query = f"scans?from={rfc3339(first_ms)}"
    amid = [rfc3339(first_ms + minute * MINUTE + 1) for minute in (3, 8)]
    asked = (
        query, f"{query}&at={rfc3339(first_ms + DAY_MS)}&sort=took",
        f"{query}&at={amid[1]}", f"scans?from={amid[0]}&to={amid[1]}&outcome=failed",
    )  # fmt: skip
    before = [_json(empty_web, one) for one in asked]
    # One that began a moment before was not over then.
    assert [one["total"] for one in before] == [56, 56, 16, 3]
    with empty_web.store.writing() as connection:
        for record in list_hosts(empty_web.store):
            archive(connection, record.id, first_ms // DAY_MS)
    assert [_json(empty_web, one) for one in asked] == before
    monkeypatch.setattr(scan_list, "MOST_SCANS", 50)
    with _opened_days() as opened:
        told = _json(empty_web, query, 422)
    assert "Name a host" in told["detail"]
    assert opened == []
    assert _json(empty_web, f"{query}&host=kvm-02")["total"] == 43


@contextmanager
def _opened_days() -> Iterator[list[str]]:
    """The statements that read archived days meanwhile."""
    found: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if "scan_day.body" in statement:
            found.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)


def test_for_gaps_no_archived_day_is_opened_once_for_each(
    empty_web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    first_ms = (now_ms() // DAY_MS - 6) * DAY_MS
    # Six gaps, in all of which scans failed.
    flapping = [minute for minute in range(60) if minute % 10 > 5]
    fill(empty_web, first_ms, failed=flapping, times=range(61))
    query = f"gaps?host=kvm-01&from={rfc3339(first_ms)}&to={rfc3339(first_ms + 61 * MINUTE)}"
    before = _json(empty_web, query)
    assert [one["failed_scans"] for one in before["items"]] == [4] * 6
    with empty_web.store.writing() as connection:
        for record in list_hosts(empty_web.store):
            archive(connection, record.id, first_ms // DAY_MS)
    pages = ("", "&per_page=1&page=6", "&sort=duration", "&format=csv")
    for page in pages:
        with _opened_days() as opened:
            assert empty_web.client.get(f"/api/v1/{query}{page}").status_code == 200
        # Once for the gaps, once for what failed.
        assert len(opened) == 2, page
    assert _json(empty_web, query) == before
    monkeypatch.setattr(gap_list, "MOST_READ", 60)
    with _opened_days() as opened:
        told = _json(empty_web, query.replace("host=kvm-01&", ""), 422)
    assert told["invalid"][0]["name"] == "from"
    assert "Name a host" in told["detail"]
    assert opened == []
    assert _json(empty_web, query)["total"] == 6
