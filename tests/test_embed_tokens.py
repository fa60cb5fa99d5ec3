"""Tokens of embeds in the store: what they carry, how they end, whose they are."""

import sqlite3
from contextlib import closing

import pytest

from app.access import Principal
from app.clock import DAY_MS, now_ms
from app.connection import Connection
from app.errors import InvalidField, NotFound
from app.origins import check_origin
from app.store import embed_tokens
from app.store.embed_tokens import (
    LONGEST_MS,
    create_embed_token,
    held,
    known_origins,
    list_embed_tokens,
    note_uses,
    revoke_embed_token,
)
from app.store.engine import Store
from app.store.hosts import add_host, get_host
from app.store.tokens import add_token, bearer, revoke_token, token_of
from app.store.users import add_user, set_disabled, set_role
from app.store.verify import verify
from tests.clocks import steered
from tests.made_once import open_store
from tests.storing import a_store

__all__ = ["a_store"]

PAGE = "https://intranet.example"


def _admin(store: Store, name: str = "ada", hosts: tuple[str, ...] = ()) -> Principal:
    user = add_user(store, name, "admin", None, hosts=hosts)
    return Principal("user", user.name, user.role, user.host_ids, user.id)


def _made(store: Store, principal: Principal, **changes: object) -> str:
    fields = {
        "view": "domains", "filters": {"host": ["kvm-01"]}, "origins": [PAGE],
        "expires_at_ms": now_ms() + DAY_MS, **changes,
    }  # fmt: skip
    return create_embed_token(store, principal, **fields)[0]  # type: ignore[arg-type]  # one table of fields for all


def _standing(store: Store, text: str) -> str | None:
    found = held(store, text)
    return None if found is None else found.standing


def test_a_token_says_what_it_is_for_and_its_text_is_kept_nowhere(a_store: Store) -> None:
    ada = _admin(a_store)
    text, token = create_embed_token(
        a_store, ada, "domains", {"host": ["kvm-01"], "state": ["running", "paused"]},
        [PAGE, "HTTP://Other.example:80/", PAGE], now_ms() + DAY_MS, "Staff pages", frame=False,
    )  # fmt: skip
    assert text.startswith("npe_")
    # 160 bits in base32.
    assert len(text) == len("npe_") + 32
    assert token.filters == {"host": ("kvm-01",), "state": ("running", "paused")}
    assert token.origins == (PAGE, "http://other.example")
    assert (token.frame, token.note, token.created_by) == (False, "Staff pages", "ada")
    assert token.hint == text[-4:]
    found = held(a_store, text)
    assert found is not None
    assert (found.token, found.standing, found.host_ids) == (token, "live", None)
    assert held(a_store, text[:-1] + ("a" if text[-1] != "a" else "b")) is None
    assert held(a_store, text.replace("npe_", "npt_")) is None
    with closing(sqlite3.connect(a_store.path)) as connection:
        assert text.removeprefix("npe_") not in "\n".join(connection.iterdump())
    assert verify(a_store).wrong == []


@pytest.mark.parametrize("expires_ms", [-1, 0, LONGEST_MS + 1000])
def test_a_token_ends_at_a_time_that_is_not_too_far(a_store: Store, expires_ms: int) -> None:
    with pytest.raises(InvalidField):
        _made(a_store, _admin(a_store), expires_at_ms=now_ms() + expires_ms)
    assert list_embed_tokens(a_store, Principal("command", "npvirt", "admin")) == []


def test_a_token_is_over_at_its_time(a_store: Store) -> None:
    text = _made(a_store, _admin(a_store), expires_at_ms=now_ms() + DAY_MS)
    assert _standing(a_store, text) == "live"
    with steered() as hands:
        hands.step(DAY_MS / 1000 + 1)
        assert _standing(a_store, text) == "expired"
    assert known_origins(a_store) == {PAGE}


def test_a_revoked_token_works_no_more_in_any_process(a_store: Store) -> None:
    ada = _admin(a_store)
    text = _made(a_store, ada)
    (token,) = list_embed_tokens(a_store, ada)
    other = open_store(a_store.path)
    assert _standing(other, text) == "live"
    revoke_embed_token(a_store, token.id, ada)
    assert _standing(other, text) == "revoked"
    other.close()
    with pytest.raises(NotFound):
        revoke_embed_token(a_store, token.id, ada)


@pytest.mark.parametrize("what", ["disabled", "operator", "viewer"])
def test_a_token_ends_for_good_with_the_power_of_whoever_made_it(a_store: Store, what: str) -> None:
    add_user(a_store, "root", "admin", None)
    text = _made(a_store, _admin(a_store))
    if what == "disabled":
        set_disabled(a_store, "ada", True)
    else:
        set_role(a_store, "ada", what)
    assert _standing(a_store, text) == "revoked"
    set_disabled(a_store, "ada", False)
    set_role(a_store, "ada", "admin")
    assert _standing(a_store, text) == "revoked"


def test_a_token_shows_the_hosts_that_its_maker_may_see_now(a_store: Store) -> None:
    for slug in ("kvm-01", "kvm-02"):
        add_host(a_store, slug, Connection(transport="ssh", host=f"{slug}.test"))
    add_user(a_store, "root", "admin", None)
    text = _made(a_store, _admin(a_store))
    set_role(a_store, "ada", "admin", hosts=["kvm-02"])
    found = held(a_store, text)
    assert found is not None
    assert found.host_ids == frozenset((get_host(a_store, "kvm-02").id,))


def test_a_token_that_an_api_token_made_ends_with_it(a_store: Store) -> None:
    api = add_token(a_store, "robot", "admin", created_by="ada")
    token = token_of(a_store, api)
    assert token is not None
    text = _made(a_store, bearer(token))
    assert _standing(a_store, text) == "live"
    revoke_token(a_store, "robot")
    assert _standing(a_store, text) == "revoked"
    with steered() as hands:
        hands.step(1)
        add_token(a_store, "robot", "admin", created_by="somebody else")
        assert _standing(a_store, text) == "revoked"


def test_who_has_some_hosts_lists_and_revokes_their_own_alone(a_store: Store) -> None:
    add_host(a_store, "kvm-01", Connection(transport="ssh", host="kvm-01.test"))
    ada, bob = _admin(a_store), _admin(a_store, "bob", ("kvm-01",))
    _made(a_store, ada)
    _made(a_store, bob)
    (of_bob,) = list_embed_tokens(a_store, bob)
    assert of_bob.maker == "bob"
    first, second = list_embed_tokens(a_store, ada)
    assert (first, second.maker) == (of_bob, "ada")
    with pytest.raises(NotFound):
        revoke_embed_token(a_store, second.id, bob)
    revoke_embed_token(a_store, first.id, ada)


def test_when_tokens_were_used_is_written_in_one_go(a_store: Store) -> None:
    ada = _admin(a_store)
    for _ in range(3):
        _made(a_store, ada)
    numbers = [token.id for token in list_embed_tokens(a_store, ada)]
    version = a_store.version()
    note_uses(a_store, {number: 1000 + number for number in numbers[:2]})
    assert a_store.version() != version
    used = {token.id: token.used_at_ms for token in list_embed_tokens(a_store, ada)}
    assert used == {numbers[0]: 1000 + numbers[0], numbers[1]: 1000 + numbers[1], numbers[2]: None}


def test_tokens_that_ended_long_ago_are_forgotten_when_another_one_is_made(a_store: Store) -> None:
    ada = _admin(a_store)
    gone, text = _made(a_store, ada), _made(a_store, ada, expires_at_ms=now_ms() + 200 * DAY_MS)
    revoke_embed_token(a_store, list_embed_tokens(a_store, ada)[1].id, ada)
    with steered() as hands:
        hands.step(91 * DAY_MS / 1000)
        _made(a_store, ada)
        assert held(a_store, gone) is None
        assert _standing(a_store, text) == "live"


def test_there_is_an_end_to_how_many_there_may_be(
    a_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embed_tokens, "_MOST_TOKENS", 1)
    ada = _admin(a_store)
    _made(a_store, ada)
    with pytest.raises(InvalidField):
        _made(a_store, ada)


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://intranet.example", "https://intranet.example"),
        ("HTTPS://Intranet.Example:443/", "https://intranet.example"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://[::0:1]:80", "http://[::1]"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
    ],
)
def test_origins_are_kept_as_browsers_send_them(text: str, origin: str) -> None:
    assert check_origin(text) == origin


@pytest.mark.parametrize(
    "text",
    ["", "null", "*", "intranet.example", "https://", "https://*.example", "ftp://a.example",
     "https://a.example/wiki", "https://a.example?x", "https://a.example#x", "https://a@b.example",
     "https://a.example:0", "https://a.example:99999", "https://a b.example", "https://a;b",
     "javascript:alert(1)", "file:///etc", "https://a.example\r\nX: y", "https://[::g]",
     "https://" + "a" * 400, "https://a.example 'unsafe-inline'", "https://a.example,https://b"],
)  # fmt: skip
def test_what_is_no_origin_is_refused(text: str) -> None:
    with pytest.raises(InvalidField):
        check_origin(text)
