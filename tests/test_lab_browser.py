"""People act on a real libvirtd in Chromium: each role does all that it may, and no more."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, Page, expect

from app.access import ROLES, Role
from app.actions.registry import ACTIONS, PLURALS, Action
from app.web.actions import addresses
from tests.acting_support import HOST, ROOT, Acting, acting
from tests.browser_support import note_faults, wait_for
from tests.lab import stock
from tests.panel import PASSWORD

pytestmark = pytest.mark.xdist_group("lab-browser")

_WAIT_MS = 30_000


@dataclass
class Person:
    """Somebody signed in, on a page of the panel."""

    acted: Acting
    page: Page
    role: Role
    errors: list[str] = field(default_factory=list)
    done: set[str] = field(default_factory=set)
    # How often each action was done.
    seen: dict[str, int] = field(default_factory=dict)

    def may(self, role: Role) -> bool:
        return ROLES.index(self.role) >= ROLES.index(role)

    def does(self, address: str, name: str, label: str, action: str) -> None:
        """Choose what is done at once from the menu of `name`."""
        self.go(address)
        self.menu(name)
        with self.page.expect_response(lambda answer: answer.request.method == "POST"):
            self.choose(label)
        self.well_done(action)

    def asks(
        self, address: str, name: str, label: str, action: str, /, **fields: str | bool
    ) -> None:
        """Choose what is asked about first from the menu of `name`, and confirm it."""
        self.go(address)
        self.menu(name)
        self.choose(label)
        self.fill(**fields)
        self.well_done(action)

    def go(self, address: str) -> None:
        self.page.goto(self.acted.panel.url + address)
        wait_for(self.page, "typeof htmx === 'object'")

    def menu(self, name: str) -> None:
        """Open the menu of what is called `name` on this page."""
        self.page.get_by_label(f"More for ⁨{name}⁩", exact=True).click()

    def choose(self, label: str) -> None:
        starts = re.compile(f"^{re.escape(label)}")
        self.page.get_by_role("menuitem", name=starts).first.click()

    def fill(self, **fields: str | bool) -> None:
        """Fill the dialog, confirm it, and wait until it is gone."""
        dialog = self.page.locator("#dialog")
        expect(dialog).to_be_visible()
        for name, value in fields.items():
            field = dialog.locator(f"[name={name}]:not([type=hidden])")
            if isinstance(value, bool):
                field.set_checked(value)
            elif field.evaluate("field => field.tagName") == "SELECT":
                field.select_option(value)
            else:
                field.fill(value)
        dialog.locator("button.do").click()
        expect(dialog).to_be_hidden(timeout=_WAIT_MS)

    def well_done(self, action: str) -> None:
        """Wait until the audit says that this person's newest such action went well."""
        query = f"/api/v1/audit?who=the-{self.role}&action={action}"

        def over() -> Any:
            found = self.acted.panel.get(query)["items"]
            is_over = len(found) > self.seen.get(action, 0) and found[0]["outcome"]
            return found[0] if is_over else None

        record = self.acted.panel.until(over)
        assert record["outcome"] == "ok", record
        self.done.add(action)
        self.seen[action] = self.seen.get(action, 0) + 1


@pytest.fixture(scope="module")
def acted(lab: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Acting]:
    with acting(tmp_path_factory.mktemp("panel") / "var") as made:
        password = made.host.root / "password"
        password.write_text(PASSWORD, encoding="ascii")
        for role in ROLES:
            made.panel.npvirt(
                "user", "add", f"the-{role}", "--role", role, "--password-file", str(password)
            )
        yield made


@pytest.fixture(params=ROLES)
def person(request: Any, acted: Acting, chromium: Browser) -> Iterator[Person]:
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(_WAIT_MS)
    made = Person(acted, page, request.param)
    note_faults(page, made.errors.append)
    acted.panel.sign_in(page, f"the-{request.param}")
    yield made
    context.close()
    assert made.errors == []


def test_each_role_does_what_it_may_and_is_refused_the_rest(person: Person, tmp_path: Path) -> None:
    acted, name = person.acted, f"web-{person.role}"
    disk = f"{name}.qcow2"
    acted.host.virsh("vol-create-as", "images", disk, "1G", "--format", "qcow2")
    stock.add_guests(acted.host, acted.host.root / "lib/images", names=(name,))
    item = acted.running(name)
    base = f"/hosts/{HOST}/domains/{item['uuid']}"
    if person.may("operator"):
        _power(person, base, name)
        _wakes(person)
        _snapshots(person, base, name)
        _pools_by_operator(person)
    if person.may("admin"):
        _memory(person, base, name)
        _pool_of_its_own(person)
        _volumes(person, tmp_path)
        _networks(person)
        _undefines(person, base, name)
    allowed = {action.audit_name for action in ACTIONS if person.may(action.role)}
    assert person.done == allowed
    _is_offered(person, allowed)
    _is_refused(person, [action for action in ACTIONS if not person.may(action.role)])


def _power(person: Person, base: str, name: str) -> None:
    person.does(base, name, "Pause", "suspend")
    person.does(base, name, "Resume", "resume")
    person.asks(base, name, "Reboot", "reboot")
    person.asks(base, name, "Reset…", "reset")
    person.asks(base, name, "Shut down", "shutdown", mode="acpi")
    person.go(base)
    expect(person.page.locator("#page")).to_contain_text("Shutting down")
    person.asks(base, name, "Save and stop", "managedsave")
    person.acted.panel.until(lambda: person.acted.item("domains", name)["managed_save"])
    person.does(base, name, "Restore", "start")
    person.asks(base, name, "Force off…", "destroy", confirm=name)
    person.does(base, name, "Start paused", "start")
    person.does(base, name, "Resume", "resume")
    person.does(base, name, "Start with host", "autostart")


def _wakes(person: Person) -> None:
    acted = person.acted
    if acted.item("domains", "talking") is None:
        stock.add_talking_guest(acted.host)
    uuid = acted.panel.until(lambda: acted.item("domains", "talking"))["uuid"]

    def asleep() -> bool:
        try:
            acted.host.virsh("dompmsuspend", "talking", "mem")
        except RuntimeError:
            time.sleep(0.5)
        found: bool = acted.item("domains", "talking")["state"] == "pmsuspended"
        return found

    acted.panel.until(asleep, 300)
    person.does(f"/hosts/{HOST}/domains/{uuid}", "talking", "Wake", "dompmwakeup")


def _snapshots(person: Person, base: str, name: str) -> None:
    person.asks(base, name, "Take snapshot…", "snapshot-create", name="first")
    person.asks(base, "first", "Revert…", "snapshot-revert", confirm="first")
    person.asks(base, "first", "Delete snapshot…", "snapshot-delete")


def _pools_by_operator(person: Person) -> None:
    acted = person.acted
    if acted.item("pools", "archive")["state"] == "running":
        acted.act("pools", "archive", "destroy")
    person.does("/pools", "archive", "Start pool", "pool-start")
    person.does("/pools", "images", "Refresh", "pool-refresh")


def _memory(person: Person, base: str, name: str) -> None:
    person.asks(base, name, "Send NMI…", "inject-nmi")
    person.asks(base, name, "Dump memory…", "dump", path=f"{ROOT}/{name}.dump")
    person.asks(base, name, "Save and stop", "managedsave")
    person.acted.panel.until(lambda: person.acted.item("domains", name)["managed_save"])
    person.asks(base, name, "Drop saved state…", "managedsave-remove")


def _pool_of_its_own(person: Person) -> None:
    person.go("/pools")
    person.page.get_by_role("button", name="Define pool").click()
    person.choose(f"on {HOST}")
    person.fill(name="lake", type="dir", target=f"{ROOT}/lake")
    person.well_done("pool-define")
    person.asks("/pools", "lake", "Build…", "pool-build")
    person.does("/pools", "lake", "Start pool", "pool-start")
    person.does("/pools", "lake", "Start with host", "pool-autostart")
    person.asks("/pools", "lake", "Stop pool…", "pool-destroy")
    person.asks("/pools", "lake", "Forget pool…", "pool-undefine")


def _volumes(person: Person, directory: Path) -> None:
    pool = person.acted.item("pools", "images")["uuid"]
    base = f"/hosts/{HOST}/pools/{pool}"
    person.go(base)
    person.page.get_by_role("button", name="New volume…").click()
    person.fill(name="v1", capacity_bytes="1 MiB", format="raw")
    person.well_done("vol-create")
    person.asks(base, "v1", "Resize…", "vol-resize", capacity_bytes="2 MiB")
    content = b"npvirt" * 50_000
    (directory / "content").write_bytes(content)
    person.go(base)
    person.menu("v1")
    person.choose("Upload…")
    person.page.locator("#dialog [name=file]").set_input_files(directory / "content")
    person.page.locator("#dialog button.do").click()
    person.well_done("vol-upload")
    person.go(base)
    person.menu("v1")
    person.choose("Download…")
    with person.page.expect_download() as waiting:
        person.page.locator("#dialog button.do").click()
    fetched = Path(waiting.value.path()).read_bytes()
    assert fetched[: len(content)] == content
    assert len(fetched) == 2 << 20
    person.well_done("vol-download")
    person.asks(base, "v1", "Clone…", "vol-clone", name="v2")
    person.asks(base, "v1", "Wipe…", "vol-wipe", confirm="v1")
    for name in ("v1", "v2"):
        person.asks(base, name, "Delete volume…", "vol-delete", confirm=name)
    # Used by a VM: named in the dialog, and refused.
    person.go(base)
    person.menu("db-01.qcow2")
    person.choose("Delete volume…")
    dialog = person.page.locator("#dialog")
    expect(dialog).to_contain_text("db-01")
    dialog.locator("[name=confirm]").fill("db-01.qcow2")
    dialog.locator("button.do").click()
    expect(dialog.get_by_role("alert")).to_contain_text("It is in use by “db-01”")
    # What is wrong with a request is told where it was made; the browser calls that an error.
    person.errors[:] = [text for text in person.errors if "409" not in text]


def _networks(person: Person) -> None:
    person.go("/networks")
    person.page.get_by_role("button", name="Define network").click()
    person.choose(f"on {HOST}")
    person.fill(name="lan", forward="nat", address="192.168.150.1/24")
    person.well_done("net-define")
    person.asks("/networks", "lan", "Start network", "net-start")
    person.does("/networks", "lan", "Start with host", "net-autostart")
    person.asks("/networks", "lan", "Stop network…", "net-destroy")
    person.asks("/networks", "lan", "Forget network…", "net-undefine")


def _undefines(person: Person, base: str, name: str) -> None:
    person.go(base)
    person.menu(name)
    person.choose("Forget VM…")
    person.page.locator("#dialog button.do").click()
    # Its page is no more, so its reader is led to the list, and told.
    person.page.wait_for_url(re.compile(r"/domains\?host="))
    expect(person.page.locator("#toasts")).to_contain_text(name)
    person.well_done("undefine")
    assert person.acted.item("domains", name) is None


def _is_offered(person: Person, allowed: set[str]) -> None:
    """Every address of an action on the pages is one of an action that is allowed."""
    acted = person.acted
    db = acted.item("domains", "db-01")["uuid"]
    images = acted.item("pools", "images")["uuid"]
    found: set[str] = set()
    for address in ("/domains", f"/hosts/{HOST}/domains/{db}", "/pools",
                    f"/hosts/{HOST}/pools/{images}", "/networks"):  # fmt: skip
        person.go(address)
        found |= set(re.findall(r'"/hosts/[^"]*/actions/[^"]*', person.page.content()))
        for menu in re.findall(r'hx-get="(/ui/[^"]*/menu)"', person.page.content()):
            answer = person.page.request.get(acted.panel.url + menu)
            assert answer.ok
            found |= set(re.findall(r'"/hosts/[^"]*/actions/[^"]*', answer.text()))
    offered = {_audit_name(address) for address in found}
    assert offered <= allowed
    assert bool(offered) == bool(allowed)


def _audit_name(address: str) -> str:
    parts = address.split("/")
    plural, name = parts[-4] if "snapshots" not in parts else "snapshots", parts[-1]
    (action,) = [one for one in ACTIONS if PLURALS[one.kind] == plural and one.name == name]
    return action.audit_name


def _is_refused(person: Person, forbidden: list[Action]) -> None:
    """Sent all the same, with everything else in order: the role alone refuses it."""
    acted = person.acted
    person.go("/account")
    token = person.page.locator("input[name=csrf_token]").first.input_value()
    keys = {
        "domain": acted.item("domains", "db-01")["uuid"],
        "snapshot": acted.item("domains", "db-01")["uuid"],
        "pool": acted.item("pools", "images")["uuid"],
        "volume": str(acted.item("volumes", "old-crm.raw")["id"]),
        "network": acted.item("networks", "default")["uuid"],
    }
    before = acted.host.run("virsh list --all; virsh pool-list --all; virsh net-list --all")
    query = f"/api/v1/audit?who=the-{person.role}&outcome=refused"
    refused = acted.panel.get(query)["total"]
    for action in forbidden:
        key = keys["pool" if action.creates and action.kind == "volume" else action.kind]
        path = addresses(action).replace("<slug>", HOST).replace("<key>", key)
        answer = person.page.request.post(
            acted.panel.url + path.replace("<name>", "first"),
            headers={"Origin": acted.panel.url, "X-CSRF-Token": token},
            form={"request_id": str(uuid4()), "expect_state": "running"},
        )
        assert answer.status == 403, path
        assert f"This needs the role {action.role}" in answer.text()
    assert acted.panel.get(query)["total"] == refused + len(forbidden)
    after = acted.host.run("virsh list --all; virsh pool-list --all; virsh net-list --all")
    assert after == before
