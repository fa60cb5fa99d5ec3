"""The connection form: every field refused with a sentence, nothing changed then, and the way from
a test to a host that is watched. The tests of connections are real ones, to this machine.
"""

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.connection import TRANSPORTS, Connection
from app.store.credentials import add_credential
from app.store.hosts import get_host, list_hosts
from app.web.connection_form import FIELDS, form_of, read_form
from tests.web_support import HOSTILE, Web

GOOD = {
    "name": "kvm-09", "transport": "ssh", "path": "system", "host": "kvm-09.test", "port": "2222",
    "user": "ops", "read_only": "no",
}  # fmt: skip


@pytest.fixture
def closed_port() -> Iterator[str]:
    """A port of this machine on which nothing listens, kept free for the test."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield str(taken.getsockname()[1])


def wrong_fields(page: str) -> set[str]:
    return set(re.findall(r'id="([a-z_]+)-wrong"', page))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""), ("name", "Upper"), ("name", "a" * 33), ("name", "-a"), ("name", "a b"),
        ("name", "add"), ("name", HOSTILE),
        ("transport", ""), ("transport", "ext"), ("transport", "embedded"),
        ("path", "default"), ("path", "/etc/passwd"), ("path", ""),
        ("host", ""), ("host", "2130706433"), ("host", "0x7f.1"), ("host", "-oProxyCommand=x"),
        ("host", "a b"), ("host", "h?command=/bin/sh"), ("host", "user@h"), ("host", "x" * 254),
        ("host", "fe80::1%eth0"), ("host", HOSTILE),
        ("port", "0"), ("port", "65536"), ("port", "22x"), ("port", "٢٢"), ("port", "-1"),
        ("user", "Root"), ("user", "a" * 33), ("user", "-l"), ("user", "a;b"),
        ("socket", "libvirt-sock"), ("socket", "/tmp/x"), ("socket", "/run/libvirt/../../tmp/x"),
        ("socket", "/run/libvirt" + "/x" * 3000),
        ("key", "no-such-key"), ("key", "../id_rsa"), ("key", "/root/.ssh/id_rsa"),
        ("known_hosts", "no-such-list"), ("read_only", ""), ("read_only", "maybe"),
    ],
)  # fmt: skip
def test_a_bad_field_is_refused_at_the_field_and_nothing_changes(
    web: Web, field: str, value: str
) -> None:
    before = web.store.version()
    for do in ("test", "save", "force"):
        answer = web.post("/hosts/add", GOOD | {field: value, "do": do})
        assert answer.status_code == 422
        assert field in wrong_fields(answer.text)
        assert "<script>alert" not in answer.text
    assert web.store.version() == before


def test_what_was_typed_stays_in_the_form(web: Web) -> None:
    page = web.post("/hosts/add", GOOD | {"port": "x<y", "do": "test"}).text
    assert 'value="x&lt;y"' in page
    assert 'value="kvm-09.test"' in page
    assert re.search(r'value="ssh" checked', page)


def test_every_wrong_field_is_marked_at_once(web: Web) -> None:
    page = web.post("/hosts/add", GOOD | {"name": "A", "host": "", "port": "x", "do": "test"}).text
    assert wrong_fields(page) == {"name", "host", "port"}


def test_a_uri_is_no_field(web: Web) -> None:
    page = web.text("/hosts/add")
    assert not re.search(r'<input[^>]*name="uri"', page)
    answer = web.post("/hosts/add", GOOD | {"uri": "qemu+ext://x", "do": "force"})
    assert answer.status_code == 303
    assert get_host(web.store, "kvm-09").connection.transport == "ssh"


@given(
    st.fixed_dictionaries(
        {"transport": st.sampled_from(TRANSPORTS), "path": st.just("system")},
        optional={
            name: st.text(max_size=30) for name in FIELDS if name not in ("transport", "path")
        },
    )
)
def test_no_input_makes_a_connection_of_unknown_letters(given_fields: dict[str, str]) -> None:
    form = read_form(given_fields | {"read_only": "no"}, ())
    assert (form.connection is None) == bool(form.errors)
    if form.connection is not None:
        text = f"{form.connection.host}{form.connection.user}{form.connection.socket}"
        assert not set(text) & set("?&#@ \\\"'`$;|<>\n")


def test_fields_of_another_transport_are_left_out() -> None:
    form = read_form(GOOD | {"transport": "unix", "sasl": "x", "pki": "y"}, ())
    assert form.errors == {}
    assert form.connection == Connection(transport="unix")


def test_a_form_shows_the_connection_that_it_makes() -> None:
    connection = Connection(
        transport="tls", host="::1", port=16515, sasl="cred", read_only=True, allowed_roots=("/a",)
    )
    shown = form_of("kvm-01", connection)
    assert read_form(shown.values, (), connection).connection == connection


def test_a_failed_test_says_where_it_stopped_and_adds_nothing(web: Web, closed_port: str) -> None:
    fields = GOOD | {"transport": "tcp", "host": "127.0.0.1", "port": closed_port}
    before = web.store.version()
    page = web.post("/hosts/add", fields | {"do": "test"}, htmx=True).text
    assert "Stopped at step" in page
    assert "not tried" in page
    assert "<html" not in page
    assert 'name="tested" value=""' in page
    refused = web.post("/hosts/add", fields | {"do": "save"})
    assert refused.status_code == 422
    assert "Not tested with these fields yet" in refused.text
    assert web.store.version() == before


def test_a_host_may_be_added_without_a_test_on_purpose(web: Web) -> None:
    answer = web.post("/hosts/add", GOOD | {"do": "force"})
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/hosts/kvm-09"
    connection = get_host(web.store, "kvm-09").connection
    assert (connection.host, connection.port, connection.user) == ("kvm-09.test", 2222, "ops")
    assert "kvm-09 is added" in web.text("/hosts/kvm-09")
    assert "kvm-09 is added" not in web.text("/hosts/kvm-09")


def test_a_taken_name_is_refused_at_the_name(web: Web) -> None:
    answer = web.post("/hosts/add", GOOD | {"name": "kvm-01", "do": "force"})
    assert answer.status_code == 422
    assert wrong_fields(answer.text) == {"name"}
    assert len(list_hosts(web.store)) == 3


def test_an_unknown_deed_is_refused(web: Web) -> None:
    assert web.post("/hosts/add", GOOD | {"do": "explode"}).status_code == 422
    assert web.post("/hosts/add", GOOD).status_code == 422


def test_editing_keeps_what_the_form_does_not_ask_for(web: Web) -> None:
    page = web.text("/hosts/kvm-03/edit")
    assert 'value="10.0.0.3"' in page
    assert re.search(r'value="yes" checked', page)
    fields = {"name": "kvm-30", "transport": "tcp", "path": "system", "host": "10.0.0.4",
              "read_only": "no", "do": "force"}  # fmt: skip
    answer = web.post("/hosts/kvm-03/edit", fields)
    assert answer.headers["Location"] == "/hosts/kvm-30"
    connection = get_host(web.store, "kvm-30").connection
    assert (connection.host, connection.read_only) == ("10.0.0.4", False)
    assert web.client.get("/hosts/kvm-03").status_code == 404


def test_renaming_to_a_taken_name_changes_nothing(web: Web) -> None:
    before = get_host(web.store, "kvm-03")
    fields = GOOD | {"name": "kvm-01", "host": "elsewhere.test", "do": "force"}
    answer = web.post("/hosts/kvm-03/edit", fields)
    assert answer.status_code == 422
    assert get_host(web.store, "kvm-03") == before


def test_credentials_are_offered_by_name_only(web: Web, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("not a key")
    add_credential(web.store, web.settings.data, "ops-key", "ssh-key", path=key)
    page = web.text("/hosts/add")
    assert "<option>ops-key</option>" in page
    assert str(key) not in page
    web.post("/hosts/add", GOOD | {"key": "ops-key", "do": "force"})
    assert get_host(web.store, "kvm-09").connection.key == "ops-key"
    refused = web.post("/hosts/add", GOOD | {"name": "b", "known_hosts": "ops-key", "do": "force"})
    assert wrong_fields(refused.text) == {"known_hosts"}


def test_npvirts_own_key_is_shown_on_request_and_not_before(web: Web) -> None:
    assert "ssh-ed25519" not in web.text("/hosts/add")
    assert not (web.settings.data / "ssh").exists()
    answer = web.post("/hosts/add", {"do": "key"})
    assert re.search(r"ssh-ed25519 [A-Za-z0-9+/=]+", answer.text)
    assert "PRIVATE" not in answer.text


def test_the_uri_is_made_from_the_fields_alone(web: Web) -> None:
    shown = web.post("/ui/hosts/uri", GOOD).text
    assert 'value="qemu+ssh://ops@kvm-09.test:2222/system"' in shown
    assert 'value=""' in web.post("/ui/hosts/uri", GOOD | {"host": "?x=y"}).text


def test_a_demo_host_can_only_be_renamed(web: Web) -> None:
    from app.store.hosts import add_host

    demo = Connection(driver="test", transport="embedded", path="default")
    add_host(web.store, "demo", demo)
    assert "cannot be" not in web.text("/hosts/demo/edit")
    assert 'name="transport"' not in web.text("/hosts/demo/edit")
    answer = web.post(
        "/hosts/demo/edit", {"name": "toy", "do": "force", "transport": "tcp", "host": "evil.test"}
    )
    assert answer.headers["Location"] == "/hosts/toy"
    assert get_host(web.store, "toy").connection == demo
