"""The list of changes as people and scripts read it: page, panels, JSON, CSV, XML's difference."""

import json
import re
import sqlite3
from collections.abc import Iterator
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from app.access import Principal
from app.clock import rfc3339
from app.inventory import Definition, Domain, Host, Pool, Scan, Volume
from app.store import audit, schema
from app.store.audit import Attempt
from app.store.changes import Change
from app.store.hosts import get_host
from app.store.record import Recorder
from app.web.change_words import GROUPS, WHATS, look, phrase, when, who
from app.web.text_difference import compare
from app.web.when import Zone
from tests.fleet_support import domain_uuid
from tests.storing import BASE_MS, a_host
from tests.test_changes import Told, at, failed
from tests.web_support import HOSTILE, Web, make_web

GIB = 1 << 30
UUID = "00000001-0000-4000-8000-000000000001"
POOL = "00000001-0000-4000-9000-000000000001"
OLD_XML = "<domain>\n  <memory>1</memory>\n  <name>web</name>\n</domain>"
NEW_XML = OLD_XML.replace("<memory>1", "<memory>2")
VM = Domain(uuid=UUID, name=HOSTILE, state="running", id=1, memory_bytes=16 * GIB, vcpus=2)


def scan(number: float, **changed: Any) -> Scan:
    base = Scan(
        at_ms=at(number),
        took_ms=9,
        ok=True,
        host=Host(uri="test:///default", libvirt_version="9.0.0"),
        domains={UUID: VM},
        pools={POOL: Pool(POOL, "images", "running")},
        volumes={POOL: {"a": Volume(POOL, "a")}},
        networks={},
        interfaces={},
    )
    return replace(base, **changed)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    made = make_web(tmp_path / "var", NPVIRT_TIMEZONE="UTC")
    first, second = Told(made.store, "kvm-01"), Told(made.store, "kvm-02")
    xml = Definition(None, OLD_XML)
    first.scan(scan(0, definitions={UUID: xml}))
    second.scan(scan(0, domains={}, pools={}, volumes={}))
    more = replace(VM, memory_bytes=24 * GIB)
    first.scan(
        scan(1, domains={UUID: more}, definitions={UUID: replace(xml, inactive_xml=NEW_XML)})
    )
    off = replace(more, state="shutoff", state_reason="destroyed", id=None)
    first.scan(scan(2, domains={UUID: off}), failed(3), scan(63, domains={UUID: off}))
    second.scan(scan(63, domains={}, pools={}, volumes={}))
    volumes = {POOL: {"a": Volume(POOL, "a"), HOSTILE: Volume(POOL, HOSTILE)}}
    first.scan(scan(64, domains={UUID: off}, volumes=volumes))
    yield made
    made.store.close()


def items(web: Web, query: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(web.text(f"/api/v1/changes{query}"))["items"]
    return found


def whats(web: Web, query: str = "") -> list[str]:
    return [item["what"] for item in items(web, query)]


def test_the_list_is_what_lists_are_by_contract(web: Web) -> None:
    answer = json.loads(web.text("/api/v1/changes"))
    assert set(answer) == {"items", "total", "page", "counts", "as_of", "scans"}
    assert (answer["total"], answer["page"]) == (8, 1)
    assert answer["counts"]["stopped"] == 1
    assert set(answer["scans"]) == {"kvm-01", "kvm-02"}
    stopped = next(item for item in answer["items"] if item["what"] == "stopped")
    assert stopped == {
        "id": stopped["id"], "at": rfc3339(at(2)), "after": rfc3339(at(1)), "host": "kvm-01",
        "kind": "domain", "key": UUID, "name": HOSTILE, "what": "stopped", "part": None,
        "old": "running", "new": "destroyed", "text": "forced off", "by": "outside", "who": None,
        "audit_id": None, "url": f"/hosts/kvm-01/domains/{UUID}", "xml_url": None,
    }  # fmt: skip


def test_filters_go_together(web: Web) -> None:
    every = ["created", "back", "no-scans", "unreachable", "stopped", "memory", "added", "added"]
    assert whats(web) == every
    assert whats(web, "?host=kvm-02") == ["added"]
    assert whats(web, "?kind=domain") == ["stopped", "memory"]
    assert whats(web, "?kind=domain&kind=volume&what=existence&what=memory") == [
        "created",
        "memory",
    ]
    assert whats(web, "?what=power") == ["stopped"]
    assert whats(web, f"?key={UUID}") == ["stopped", "memory"]
    assert whats(web, f"?key={POOL}") == ["created"]
    assert whats(web, "?q=script+destroyed") == ["stopped"]
    assert whats(web, "?q=" + "+".join("destroyed" for _ in range(20))) == ["stopped"]
    assert whats(web, f"?from={rfc3339(at(1))}&to={rfc3339(at(2))}") == ["stopped", "memory"]
    assert whats(web, "?from=2026-05-01+09:32&to=2026-05-01+09:32") == ["stopped"]
    assert whats(web, f"?from={at(2) // 1000}&to={at(2) // 1000}") == ["stopped"]
    assert whats(web, "?per_page=2&page=2") == ["no-scans", "unreachable"]


@pytest.mark.parametrize(
    "query",
    ["?what=nothing", "?kind=thing", "?host=nobody", "?from=soon", "?to=2999-01-01T00:00Z", "?x=1",
     "?sort=name", "?page=0", "?key=a&key=b", "?what=", f"?q={'x' * 201}", "?q=a+b+c+d+e+f+g+h+i",
     f"?key={'x' * 401}"],
)  # fmt: skip
def test_a_bad_question_is_refused_with_a_sentence(web: Web, query: str) -> None:
    answer = web.client.get(f"/api/v1/changes{query}")
    assert answer.status_code == 422, answer.text
    assert answer.json is not None
    assert answer.json["detail"].endswith(".")


def test_as_of_a_moment_nothing_is_told_that_came_after_it(web: Web) -> None:
    past = f"?at={rfc3339(at(2))}"
    before = web.text(f"/api/v1/changes{past}")
    assert whats(web, past) == ["stopped", "memory", "added", "added"]
    page = web.text(f"/ui/changes{past}")
    assert "every 5s" not in page
    assert "answers again" not in page
    Recorder(web.store, get_host(web.store, "kvm-02"), 60_000).record(scan(70))
    assert web.text(f"/api/v1/changes{past}") == before
    assert web.text(f"/ui/changes{past}") == page
    assert json.loads(web.text("/api/v1/changes?at=2020-01-01T00:00Z"))["as_of"] is None


def test_the_page_holds_its_part_and_says_when_as_exactly_as_is_known(web: Web) -> None:
    page, part = web.text("/changes"), web.text("/ui/changes")
    assert part in page
    assert "every 5s" in part
    assert "<h2>Friday 1 May 2026</h2>" in part
    assert "memory 16 → 24 GiB" in part
    assert "Between 2026-05-01 09:31:00 and 2026-05-01 09:32:00." in part
    assert "09:32 – 10:33" not in part
    assert "09:33 – 10:33" in part  # no scans
    assert "outside npvirt" in part
    assert "npvirt’s schedule" in part


def test_names_from_hosts_are_only_ever_text(web: Web) -> None:
    memory = items(web, "?what=memory")[0]
    base = "/hosts/kvm-01"
    for address in ("/changes", "/", base, f"{base}/domains/{UUID}", f"{base}/pools/{POOL}",
                    memory["xml_url"]):  # fmt: skip
        text = web.text(address)
        assert "<script>alert" not in text, address
        assert "&lt;script&gt;alert(1)" in text, address


def test_panels_show_the_last_changes_and_lead_to_all(web: Web) -> None:
    overview = web.text("/ui/overview")
    assert "Recent changes" in overview
    assert 'href="/changes">All changes' in overview
    domain = web.text(f"/ui/hosts/kvm-01/domains/{UUID}")
    assert "What changed" in domain
    assert f'href="/changes?host=kvm-01&amp;key={UUID}">All 2' in domain
    assert "Forced off" in domain
    assert "answers again" in web.text("/ui/hosts/kvm-01")
    pool = web.text(f"/ui/hosts/kvm-01/pools/{POOL}")
    assert f'href="/changes?host=kvm-01&amp;key={POOL}">All 1' in pool
    past = web.text(f"/ui/hosts/kvm-01/domains/{UUID}?at={rfc3339(at(1))}")
    assert "All 1<" in past
    assert "Forced off" not in past
    assert f"/changes?host=kvm-01&amp;key={UUID}&amp;at=" in past


def test_csv_holds_all_that_fit_and_runs_nothing(web: Web) -> None:
    answer = web.client.get("/changes?format=csv&kind=domain")
    assert answer.mimetype == "text/csv"
    lines = answer.text.splitlines()
    assert lines[0].startswith("id,at,after,host,kind,key,name,what,part,old,new,text,by,who")
    assert len(lines) == 3
    assert web.text("/api/v1/changes?format=csv&kind=domain") == answer.text
    assert "'=" not in answer.text.split("forced off")[0].splitlines()[0]


def test_a_file_holds_more_changes_than_a_statement_takes_values(web: Web) -> None:
    """SQLite takes 32,766 where nobody raised that; so few are allowed here that none is raised."""
    many = 40_000
    row = {"host_id": 1, "kind": "domain", "key": "many", "name": "many", "what": "paused"}
    with web.store.writing() as connection:
        connection.execute(
            schema.entity.insert().values(
                id=900, host_id=1, kind="domain", key="many", first_seen_ms=at(0)
            )
        )
        connection.execute(
            schema.change.insert(),
            [{**row, "entity_id": 900, "at_ms": at(0) + number} for number in range(many)],
        )
    with web.store.reading() as connection:
        plain: Any = connection.connection.dbapi_connection
        plain.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 32_766)
    lines = web.text("/changes?format=csv&key=many").splitlines()
    assert len(lines) == 1 + many
    numbers = [int(line.split(",")[0]) for line in lines[1:]]
    assert numbers == sorted(numbers, reverse=True)


def test_the_xml_before_and_after_is_for_operators(web: Web) -> None:
    memory = items(web, "?what=memory")[0]
    page = web.text(memory["xml_url"])
    assert "Saved definition" in page
    assert "&lt;memory&gt;1&lt;/memory&gt;" in page
    assert 'aria-label="added"' in page
    assert "XML diff" in web.text("/changes")
    web.sign_in("vic", "viewer")
    assert web.client.get(memory["xml_url"]).status_code == 403
    assert "XML diff" not in web.text("/changes")
    web.sign_in("oda", "operator", ["kvm-02"])
    assert web.client.get(memory["xml_url"]).status_code == 404


def test_a_change_without_xml_says_so(web: Web) -> None:
    stopped = items(web, "?what=stopped")[0]
    assert "No definition came with this change" in web.text(f"/changes/{stopped['id']}")
    assert web.client.get("/changes/999").status_code == 404
    assert web.client.get(f"/changes/{stopped['id']}?at={rfc3339(at(1))}").status_code == 404


def test_who_may_see_one_host_sees_its_changes_alone(web: Web) -> None:
    web.sign_in("vic", "viewer", ["kvm-02"])
    assert whats(web) == ["no-scans", "added"]
    assert items(web)[1]["host"] == "kvm-02"
    assert "kvm-01" not in web.text("/ui/changes")
    assert web.client.get("/api/v1/changes?host=kvm-01").status_code == 422


def test_who_asked_for_it_leads_to_the_audit(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.store.audit.clock.now_ms", lambda: at(1.5))
    host_id = 1
    attempt = Attempt(
        Principal("user", "ops-2", "operator"), "::1", "destroy", "domain", host_id, "kvm-01",
        UUID, HOSTILE,
    )  # fmt: skip
    record = audit.note(web.store, attempt, "ok")
    monkeypatch.undo()
    stopped = items(web, "?what=stopped")[0]
    assert (stopped["by"], stopped["who"], stopped["audit_id"]) == ("npvirt", "ops-2", record)
    part = web.text("/ui/changes")
    assert "ops-2 · npvirt" in part
    assert f'href="/audit?host=kvm-01#record-{record}"' in part


def test_a_store_without_changes_says_so(empty_web: Web) -> None:
    assert "npvirt host add" in empty_web.text("/changes")
    a_host(empty_web.store, "kvm-01")
    assert "No changes" in empty_web.text("/ui/changes")
    assert "No change matches" in empty_web.text("/ui/changes?q=x")


# --- words ---------------------------------------------------------------------------------

CHANGE = Change(
    1, BASE_MS, BASE_MS - 60_000, 1, "kvm-01", "domain", "w", 1, "web", "stopped", None, None, None,
    None, None, None, None,
)  # fmt: skip


@pytest.mark.parametrize(
    ("told", "text"),
    [
        ({"what": "memory", "old": str(GIB), "new": str(2 * GIB)}, "memory 1 → 2 GiB"),
        ({"what": "memory", "old": str(GIB // 2), "new": str(GIB)}, "memory 512 MiB → 1 GiB"),
        ({"what": "vcpus", "old": "2", "new": "4"}, "vCPU 2 → 4"),
        ({"what": "saved-memory", "old": str(GIB), "new": str(2 * GIB)},
         "memory 1 → 2 GiB · in the saved definition; takes effect at the next start"),
        ({"what": "stopped", "new": "shutdown"}, "shut down"),
        ({"what": "stopped", "new": "failed"}, "stopped · failed to start"),
        ({"what": "stopped", "new": None}, "stopped"),
        ({"what": "started", "new": "restored"}, "started · from its saved state"),
        ({"what": "started", "new": "booted"}, "started"),
        ({"what": "crashed", "new": "panicked"}, "crashed · guest panicked"),
        ({"what": "paused", "new": "io-error"}, "paused · I/O error"),
        ({"what": "deleted", "old": "running"}, "gone · was running"),
        ({"what": "deleted", "old": "shutoff"}, "deleted"),
        ({"what": "deleted", "kind": "pool"}, "definition removed"),
        ({"what": "moved", "old": "a", "new": "b", "peer": "a"}, "moved a → b"),
        ({"what": "moved-away", "old": "a"}, "moved to another host"),
        ({"what": "snapshot-taken", "part": "x"}, "snapshot “x” taken"),
        ({"what": "disk-changed", "part": "sda", "new": "/i.iso"},
         "disk sda changed · empty → /i.iso"),
        ({"what": "disk-added", "part": "vdb", "new": "/b"}, "disk vdb added · /b"),
        ({"what": "added", "kind": "host", "new": "domain=1 pool=2 volume=0"},
         "added · with 1 VM, 2 pools"),
        ({"what": "description", "new": "x"}, "description changed · x"),
        ({"what": "no-scans", "kind": "npvirt"}, "no scans · npvirt was stopped"),
        ({"what": "a-new-word"}, "a new word"),
    ],
)  # fmt: skip
def test_a_change_in_words(told: dict[str, Any], text: str) -> None:
    assert phrase(replace(CHANGE, **told)).text == text


def test_every_word_of_a_change_is_in_a_group_and_can_be_said() -> None:
    assert len(WHATS) == len(set(WHATS))
    for what in WHATS:
        said = phrase(replace(CHANGE, what=what, part="p", old="1", new="2"))
        assert said.verb, what
        assert "-" not in said.verb.split()[0], what
    assert all(label for label, _ in GROUPS.values())


def test_no_change_has_the_colour_of_the_past() -> None:
    """Violet says that a page is of another moment; a change is no such thing."""
    icons = Path(__file__).parents[1] / "app" / "static" / "icons.svg"
    drawn = icons.read_text(encoding="utf-8")
    for what in WHATS:
        icon, css = look(replace(CHANGE, what=what))
        assert css in ("", "t2", "ok-t", "warn-t", "bad-t"), what
        assert f'<symbol id="{icon}"' in drawn, what


def test_what_never_changed_has_no_link_to_all_its_changes(fleet_web: Web) -> None:
    page = fleet_web.text(f"/hosts/kvm-01/domains/{domain_uuid(0, 0)}")
    panel = page.split('id="changes"', 1)[1].split("</section>", 1)[0]
    assert "Nothing has changed" in panel
    assert "<a " not in panel


@pytest.mark.parametrize(
    ("after_ms", "text"),
    [
        (BASE_MS - 60_000, "09:30"),
        (BASE_MS - 80_000, "09:30"),
        (BASE_MS - 3 * 60_000, "09:27 – 09:30"),
        (BASE_MS - 86_400_000, "30 Apr 09:30 – 09:30"),
        (None, "09:30"),
    ],
)
def test_when_is_said_as_exactly_as_it_is_known(after_ms: int | None, text: str) -> None:
    said, sentence = when(replace(CHANGE, after_ms=after_ms), Zone("UTC"), 60_000)
    assert said == text
    assert sentence.endswith(".")


def test_on_whose_behalf() -> None:
    assert who(replace(CHANGE, by="npvirt", who="ops-1")) == "ops-1 · npvirt"
    assert who(CHANGE) == "outside npvirt"
    assert who(replace(CHANGE, by="scan", what="unreachable")) == "npvirt’s schedule"
    assert who(replace(CHANGE, by="scan", what="libvirt-upgraded")) == "seen at a scan"


# --- differences ---------------------------------------------------------------------------


def test_a_difference_shows_what_changed_with_a_few_lines_around() -> None:
    old = "\n".join(f"line {n}" for n in range(100))
    side = compare("x", old, old.replace("line 10\n", "LINE\nmore\n").replace("line 90", "90"))
    assert (side.added, side.removed, side.too_large) == (3, 2, False)
    assert [len(hunk) for hunk in side.hunks] == [9, 8]
    assert [(line.sign, line.old, line.new) for line in side.hunks[0]][2:6] == [
        (" ", 10, 10), ("-", 11, None), ("+", None, 11), ("+", None, 12),
    ]  # fmt: skip
    rest = side.hunks[1][0]
    assert (rest.old, rest.new, rest.text) == (88, 89, "line 87")


def test_equal_texts_have_no_hunk() -> None:
    assert compare("x", "a\nb", "a\nb").hunks == []


@given(
    st.lists(st.sampled_from("abcde"), max_size=30),
    st.lists(st.sampled_from("abcdef"), max_size=30),
)
def test_a_difference_tells_how_one_text_becomes_the_other(old: list[str], new: list[str]) -> None:
    """With every line in reach of a change the hunks hold both texts whole."""
    side = compare("x", "\n".join([*old, "end"]), "\n".join([*new, "end"]))
    for sign, numbers, text in (("-", "old", [*old, "end"]), ("+", "new", [*new, "end"])):
        told = {
            getattr(line, numbers): line.text
            for hunk in side.hunks
            for line in hunk
            if line.sign in (" ", sign)
        }
        assert all(text[number - 1] == line for number, line in told.items())
        changed = [line for one, line in side.changed if one == sign]
        assert len(changed) == (side.removed if sign == "-" else side.added)
    assert len(new) - len(old) == side.added - side.removed


_MIB = 1 << 20
# All alike; two kinds of lines; in another order; all others; longer than anybody reads.
HOSTILE_TEXTS = {
    "alike": ("\n" * (_MIB - 1) + "a", "b" + "\n" * (_MIB - 2) + "b"),
    "two kinds": ("a\nb\nb\n" * (_MIB // 6), "b\na\na\n" * (_MIB // 6)),
    "another order": tuple(
        "\n".join(sorted(map(str, range(150_000)), key=lambda text: text[::way])) for way in (1, -1)
    ),
    "all others": tuple("\n".join(f"{sign}{n}" for n in range(100_000)) for sign in "xy"),
}


@pytest.mark.parametrize("name", HOSTILE_TEXTS)
def test_hostile_texts_of_a_mebibyte_take_no_more_steps_than_are_allowed(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = HOSTILE_TEXTS[name]
    steps = 0
    find = SequenceMatcher.find_longest_match

    def counted(matcher: Any, alo: int = 0, ahi: int = 0, blo: int = 0, bhi: int = 0) -> Any:
        nonlocal steps
        steps += sum(1 + len(matcher.b2j.get(line, ())) for line in matcher.a[alo:ahi])
        assert steps <= 5_000_000
        return find(matcher, alo, ahi, blo, bhi)

    monkeypatch.setattr(SequenceMatcher, "find_longest_match", counted)
    side = compare("x", old, new)
    assert side.too_large
    assert side.hunks == []
    assert compare("x", old, f"{old}\n").too_large is False


def test_a_difference_that_is_too_large_is_said_to_be_and_both_texts_are_offered(web: Web) -> None:
    memory = items(web, "?what=memory")[0]
    old, new = HOSTILE_TEXTS["two kinds"]
    with web.store.writing() as connection:
        table = schema.revision
        of_definitions = table.select().where(table.c.kind == "definition").order_by(table.c.id)
        rows = connection.execute(of_definitions).all()
        for row, text in zip(rows, (old, f"{new}</domain>"), strict=False):
            body = msgspec.json.encode(Definition(None, text)).decode()
            connection.execute(table.update().where(table.c.id == row.id).values(body=body))
    page = web.text(memory["xml_url"])
    assert "too large to show" in page
    assert len(page) < 50_000
    links = re.findall(r'href="(/changes/\d+/definition[^"]*)"', page)
    texts = [web.client.get(link.replace("&amp;", "&")) for link in links]
    assert [answer.text for answer in texts] == [old, f"{new}</domain>"]
    assert {answer.mimetype for answer in texts} == {"text/plain"}
    assert all("attachment" in answer.headers["Content-Disposition"] for answer in texts)
    at_once = links[0].replace("&amp;", "&")
    assert web.client.get(at_once.replace("before", "between")).status_code == 422
    assert web.client.get(at_once.replace("saved", "live")).status_code == 404
    assert web.client.get(f"{at_once}&at={rfc3339(at(0))}").status_code == 404
    web.sign_in("vic", "viewer")
    assert web.client.get(at_once).status_code == 403
    web.sign_in("oda", "operator", ["kvm-02"])
    assert web.client.get(at_once).status_code == 404
