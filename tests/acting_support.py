"""A lab host with objects of every kind, a panel over it, and a way to act as a program does."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.lab import stock
from tests.lab.fleet import Member, register
from tests.lab.host import LabHost
from tests.panel import Panel, panel

HOST = "kvm-01"
GUESTS = ("web-01", "db-01", "old-crm")
ROOT = "/var/lib/libvirt"
JOB_S = 120.0


@dataclass(frozen=True)
class Answer:
    """What an action's POST answered."""

    status: int
    body: Any

    @property
    def outcome(self) -> str:
        """The outcome in the audit."""
        return str(self.body["audit"]["outcome"])


@dataclass(frozen=True)
class Acting:
    """The panel and its one host."""

    panel: Panel
    host: LabHost

    def item(self, kind: str, name: str) -> Any:
        """The object of that name, as the JSON lists it now; None for none."""
        found = [one for one in self.panel.items(kind) if one["name"] == name]
        return found[0] if found else None

    def running(self, name: str) -> Any:
        """The VM of that name, once it is seen running."""
        return self.panel.until(
            lambda: (found := self.item("domains", name)) and found["state"] == "running" and found
        )

    def post(self, path: str, body: Any, token: str | None = None) -> Answer:
        """POST JSON below /api/v1/hosts/<host>/."""
        return self.send("POST", f"/api/v1/hosts/{HOST}/{path}", json.dumps(body).encode(), token)

    def send(
        self,
        method: str,
        path: str,
        data: bytes | None = None,
        token: str | None = None,
        content_type: str = "application/json",
    ) -> Answer:
        """Any request with a token (default: the panel's, an admin's)."""
        asked = urllib.request.Request(
            self.panel.url + path,
            data=data,
            headers={
                "Authorization": f"Bearer {token or self.panel.token}",
                "Content-Type": content_type,
            },
            method=method,
        )
        try:
            with urllib.request.urlopen(asked, timeout=90) as answer:
                return Answer(answer.status, _decoded(answer.read()))
        except urllib.error.HTTPError as error:
            return Answer(error.code, _decoded(error.read()))

    def act(self, kind: str, name: str, action: str, /, **given: Any) -> Any:
        """Do it in the state in which the object is listed, wait for its end, demand that it went
        well; the object as it is listed afterwards.
        """
        answer = self.try_to(kind, name, action, **given)
        assert answer.status in (200, 202), (action, answer)
        self.well_done(answer)
        return self.item(kind, name)

    def try_to(self, kind: str, name: str, action: str, /, **given: Any) -> Answer:
        """Do it, whatever comes of it."""
        item = self.item(kind, name)
        assert item is not None, name
        key = item["id"] if kind == "volumes" else item["uuid"]
        body = {"request_id": str(uuid4()), **given}
        if kind != "volumes":
            body.setdefault("expect_state", item["state"])
        return self.post(f"{kind}/{key}/actions/{action}", body)

    def make(self, path: str, /, **given: Any) -> Answer:
        """Make something new; it must go well."""
        answer = self.post(path, {"request_id": str(uuid4()), **given})
        assert answer.status in (200, 202), answer
        self.well_done(answer)
        return answer

    def well_done(self, answer: Answer) -> None:
        """Wait for a job if it is one, and demand the outcome "ok"."""
        assert self.outcome(answer) == "ok", answer.body

    def outcome(self, answer: Answer) -> str:
        """The outcome, also of what goes on at first."""
        if answer.status == 200:
            return answer.outcome
        job = answer.body["job"]["url"]
        done = self.panel.until(
            lambda: (found := self.panel.get(job)) and found["ended_at"] and found, JOB_S
        )
        return str(done["state"])


@contextmanager
def acting(data: Path, *, seconds: str = "2") -> Iterator[Acting]:
    """A host with networks, pools and guests, and a panel that looks at it."""
    with LabHost(HOST) as host:
        stock.add_networks(host)
        images = stock.add_pools(host)
        stock.add_guests(host, images, names=GUESTS)

        member = Member(host, ("--socket", host.socket))
        with panel(
            data, prepare=lambda env: register([member], env), NPVIRT_SCAN_SECONDS=seconds
        ) as running:
            made = Acting(running, host)
            running.until(lambda: len(running.items("domains")) == len(GUESTS))
            running.until(lambda: made.item("volumes", "base.qcow2"))
            yield made


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body
