"""The audit goes to syslog as well, and never waits for it."""

import json
import logging
import socket
from pathlib import Path

import pytest

from app.access import COMMAND_LINE
from app.errors import SettingsError
from app.store.audit import Attempt, conclude, intend, note
from app.store.engine import Store
from app.syslog import attach_syslog, line_of
from tests.made_once import open_store
from tests.panel import panel
from tests.web_support import HOSTILE


def _store(directory: Path) -> Store:
    return open_store(directory / "npvirt.sqlite")


def _attempt(name: str = "web-01") -> Attempt:
    return Attempt(COMMAND_LINE, "", "reset", "domain", host="kvm-01", key="k", name=name)


def _told(datagram: bytes) -> tuple[str, dict[str, object]]:
    head, _, body = datagram.rstrip(b"\0").decode("ascii").partition("npvirt: audit ")
    found: dict[str, object] = json.loads(body)
    return head, found


def test_intent_and_outcome_are_a_line_each_on_a_unix_socket(tmp_path: Path) -> None:
    store = _store(tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "log"))
        listener.settimeout(10)
        attach_syslog(store, str(tmp_path / "log"))
        intent_id = intend(store, _attempt())
        assert intent_id is not None
        conclude(store, intent_id, "failed", "It did not work.")
        first, second = (_told(listener.recv(8192)) for _ in range(2))
    store.close()
    assert first[0] == "<38>"  # auth, informational
    assert first[1]["action"] == "reset"
    assert second[0] == "<36>"  # auth, warning
    assert second[1]["intent_id"] == first[1]["id"]
    assert second[1]["outcome"] == "failed"


def test_it_goes_by_udp_too(tmp_path: Path) -> None:
    store = _store(tmp_path)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(10)
        attach_syslog(store, f"127.0.0.1:{listener.getsockname()[1]}")
        note(store, _attempt(), "refused", "No.")
        told = _told(listener.recv(8192))[1]
    store.close()
    assert told["outcome"] == "refused"


def test_a_hostile_name_cannot_begin_a_line_of_its_own() -> None:
    name = f"a\n<0>forged\r\x85\u2028{HOSTILE}\U0001f600"
    entry = dict.fromkeys(
        ("id", "intent_id", "who", "role", "peer", "action", "kind", "host", "key", "parameters",
         "request_id", "outcome", "sentence", "took_ms", "digest")
    )  # fmt: skip
    line = line_of({**entry, "name": name})
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line.removeprefix("audit ")) == {"name": name}


def test_a_syslog_that_went_away_is_told_once_and_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = _store(tmp_path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(str(tmp_path / "log"))
    attach_syslog(store, str(tmp_path / "log"))
    listener.close()
    (tmp_path / "log").unlink()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            note(store, _attempt(), "ok")
    store.close()
    said = [record.message for record in caplog.records if "syslog" in record.message]
    assert said == ["The syslog that NPVIRT_SYSLOG names does not take the audit."]


def test_a_syslog_without_an_address_stops_the_start_with_a_sentence(tmp_path: Path) -> None:
    store = _store(tmp_path)
    with pytest.raises(SettingsError, match="NPVIRT_SYSLOG names"):
        attach_syslog(store, "no-host.invalid:514")
    store.close()


def test_the_server_and_the_command_line_both_tell_it(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "log"))
        listener.settimeout(30)
        with panel(tmp_path / "var", NPVIRT_SYSLOG=str(tmp_path / "log")) as running:
            printed = running.npvirt("host", "disable", "localhost")
            printed += running.npvirt("host", "disable", "demo")
            assert "exit status 0" in printed, printed
            told = _told(listener.recv(8192))[1]
    assert told["action"] == "host-disable"
    assert told["who"] == "command:npvirt"
