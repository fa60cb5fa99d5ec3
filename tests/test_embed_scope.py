"""No embed tells of a host that its token is not for: every view, with every filter, as seen by
makers of every scope, now and in the past; two hosts of libvirt's own test driver, one veiled.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product

import pytest

from app.access import Principal
from app.clock import now_ms
from app.store.embed_tokens import create_embed_token
from app.web.embed.views import VIEWS
from tests.embed_support import a_maker
from tests.read_support import uuid_of
from tests.test_out_of_scope import HOSTILE, MARK, MOVED, SEEN, TWIN, VEILED, _past, _secrets, made
from tests.web_support import Web

__all__ = ["made"]

Filters = Mapping[str, Sequence[str]]

# By view: what tokens lock, besides the host.
_FILTERS: Mapping[str, tuple[Filters, ...]] = {
    "overview": ({},),
    "hosts": ({},),
    "domains": (
        {}, {"flag": ["running", "autostart"]}, {"q": [MARK]}, {"sort": ["-cpu"]},
        {"domain": [TWIN, MOVED, uuid_of(f"{MARK}-one")]},
    ),
    "pools": ({}, {"q": [MARK]}, {"pool": [uuid_of("images"), uuid_of(f"{MARK}-pool")]}),
    "volumes": ({}, {"q": [MARK]}, {"pool": [uuid_of("images"), uuid_of(f"{MARK}-pool")]}),
    "networks": ({}, {"q": [MARK]}),
    "interfaces": ({}, {"q": [MARK]}),
    "changes": (
        {}, {"kind": ["domain"]}, {"what": ["moved"]}, {"key": [TWIN]}, {"key": [MOVED]},
        {"key": [uuid_of(f"{MARK}-one")]}, {"q": [MARK]},
    ),
    "chart": (
        {"kind": ["host"]}, {"kind": ["domain"], "id": [TWIN]}, {"kind": ["domain"], "id": [MOVED]},
        {"kind": ["pool"], "id": [uuid_of("images")]}, {"kind": ["fleet"]},
        {"kind": ["domain"], "id": [uuid_of(f"{MARK}-one")]},
    ),
    "gauge": (
        {"kind": ["host"]}, {"kind": ["host"], "metric": ["memory"]},
        {"kind": ["domain"], "id": [TWIN]}, {"kind": ["pool"], "id": [uuid_of("images")]},
        {"kind": ["pool"], "id": [uuid_of(f"{MARK}-pool")]},
    ),
    **dict.fromkeys(("attention", "scans", "numa", "memory-devices"), ({},)),
    "leases": ({"network": [uuid_of("lan")]}, {"network": [uuid_of(HOSTILE)]}),
    "forecast": ({}, {"what": ["cpu"]}, {"id": [uuid_of(f"{MARK}-pool")]}),
    "outlook": ({}, {"what": ["cpu"]}),
    "reclaim": ({}, {"kind": ["unused-pool", "domain-off"]}),
    "growth": ({}, {"by": ["host"]}, {"by": ["pool"]}, {"by": ["owner"]}),
    **dict.fromkeys(("overcommit", "rightsizing", "losses"), ({},)),
    **dict.fromkeys(
        ("disks", "nics", "guest-nics", "snapshots"),
        ({"id": [TWIN]}, {"id": [MOVED]}, {"id": [uuid_of(f"{MARK}-one")]}),
    ),
}  # fmt: skip
# What a page may try to add.
_TRIES: tuple[Mapping[str, str], ...] = (
    {}, {"host": VEILED}, {"host": SEEN}, {"q": MARK}, {"domain": uuid_of(f"{MARK}-one")},
    {"pool": uuid_of(f"{MARK}-pool")}, {"key": uuid_of(f"{MARK}-one")}, {"per_page": "1000"},
    {"id": uuid_of(f"{MARK}-one")}, {"range": "1h"}, {"kind": "fleet"}, {"sort": "-host"},
    {"state": "running"}, {"what": "storage"}, {"by": "pool"},
)  # fmt: skip


def _token(web: Web, maker: Principal, view: str, filters: Filters) -> str:
    until_ms = now_ms() + 3_600_000
    return create_embed_token(web.store, maker, view, filters, [], until_ms)[0]


def _tokens(web: Web) -> Iterator[tuple[str, Filters, str]]:
    """A view, filters, and a token that may show what is on the seen host alone."""
    limited, unlimited = a_maker(web.store, "limited", [SEEN]), a_maker(web.store, "unlimited")
    for view, variants in _FILTERS.items():
        for filters in variants:
            yield view, filters, _token(web, limited, view, {"host": [SEEN], **filters})
            yield view, filters, _token(web, unlimited, view, {"host": [SEEN], **filters})
            if view not in ("chart", "gauge") or filters.get("kind") == ["fleet"]:
                yield view, filters, _token(web, limited, view, filters)


def test_no_embed_tells_of_the_other_host(made: Web) -> None:
    web, secrets = made, _secrets(made)
    web.sign_out()
    assert set(_FILTERS) == set(VIEWS)
    # All of them first: whatever is stored has the past be put together anew.
    tokens = list(_tokens(web))
    asked = told = 0
    tried: set[str] = set()
    for view, filters, token in tokens:
        # What a view does not take is refused to the first as to any other.
        mine = [more for more in _TRIES if set(more) <= {*VIEWS[view].lockable}]
        tries = mine if view in tried else _TRIES
        tried.add(view)
        # What is in a frame is in the fragment.
        for more, at in product(tries, ("", _past(web))):
            query = {"t": token, **more, **({"at": at} if at else {})}
            answer = web.client.get(f"/embed/v1/{view}", query_string=query)
            assert answer.status_code in (200, 403, 404, 422), (view, more, answer.text)
            # A refusal may say what was asked for.
            told_back = str(filters) + str(more) if answer.status_code != 200 else ""
            text = answer.text + str(answer.headers)
            found = [one for one in secrets if one in text and one not in told_back]
            assert found == [], (view, filters, more, at, text)
            asked, told = asked + 1, told + (answer.status_code == 200)
    assert asked > 1_000
    assert told > 200


def test_the_other_host_is_there_for_who_may_see_it(made: Web) -> None:
    """Nothing above would be found if there were nothing to be found."""
    whole = a_maker(made.store, "unlimited")
    made.sign_out()
    for view in ("domains", "pools", "volumes", "networks", "changes", "outlook"):
        token = _token(made, whole, view, {})
        assert MARK in made.client.get(f"/embed/v1/{view}?t={token}").text, view


@pytest.mark.parametrize("view", ["chart", "gauge"])
@pytest.mark.parametrize("kind", ["host", "domain", "pool"])
def test_what_is_over_there_is_to_an_embed_as_what_never_was(
    made: Web, view: str, kind: str
) -> None:
    limited = a_maker(made.store, "limited", [SEEN])
    made.sign_out()
    answers = []
    for slug in (VEILED, "nobody-77"):
        key = {"domain": uuid_of(f"{MARK}-one"), "pool": uuid_of(f"{MARK}-pool")}.get(kind, "")
        filters = {"kind": [kind], "host": [slug], **({"id": [key]} if key else {})}
        answer = made.client.get(
            f"/embed/v1/{view}", query_string={"t": _token(made, limited, view, filters)}
        )
        answers.append((answer.status_code, answer.text.replace(slug, "")))
    assert answers[0] == answers[1]
    assert answers[0][0] == 404


def test_nobody_makes_a_token_of_what_they_do_not_see(made: Web) -> None:
    made.sign_in("limited", "admin", [SEEN])
    headers = {"Origin": "http://localhost", "X-CSRF-Token": made.token()}
    pool = {"kind": ["pool"], "host": [VEILED], "id": [uuid_of(f"{MARK}-pool")]}
    for filters in ({"kind": ["host"], "host": [VEILED]}, pool):
        body = {"view": "gauge", "filters": filters, "expires_at": now_ms() // 1000 + 3600}
        refused = made.client.post("/api/v1/embed-tokens", json=body, headers=headers)
        body["filters"] = {**filters, "host": ["nobody-77"]}
        never = made.client.post("/api/v1/embed-tokens", json=body, headers=headers)
        assert refused.status_code == never.status_code == 422
        assert refused.text.replace(VEILED, "nobody-77") == never.text
