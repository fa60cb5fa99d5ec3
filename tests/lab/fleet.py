"""The four hosts of `make lab`, one per transport, filled with guests, pools and networks."""

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.lab import stock
from tests.lab.dmidecode import dmidecode_text
from tests.lab.host import LabHost, Options
from tests.lab.pki import make_pki

PASSWORD = "lab-s3cret"
USER = "fred"


@dataclass(frozen=True)
class Member:
    """A lab host and the options of `npvirt host add` that reach it."""

    host: LabHost
    reach: tuple[str, ...]


@contextlib.contextmanager
def fleet(wanted: int = 4, *, guests: bool = True) -> Iterator[list[Member]]:
    """The first `wanted` hosts, running and filled; all gone afterwards."""
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="npvirt-lab-")))
        members = _members(directory)
        for member in members:
            # Those that are never started have a place on disk and a slot as well.
            stack.callback(member.host.stop)
        del members[wanted:]
        for member in members:
            # Not in threads: the kernel ends a child when the thread that made it ends.
            member.host.start()
            if member.host.options.ssh:
                member.host.known_hosts(directory / "known_hosts")
                (directory / "id_ed25519").write_bytes(member.host.user_key.read_bytes())
                (directory / "id_ed25519").chmod(0o600)
        if guests:
            with ThreadPoolExecutor(2) as pool:
                list(pool.map(lambda member: _fill(member.host), members))
        yield members


def _members(directory: Path) -> list[Member]:
    first = LabHost("kvm-01", Options(dmidecode=dmidecode_text()))
    second = LabHost("kvm-02", Options(ssh=True))
    third_slot = LabHost("kvm-03", Options(tls=True))
    pki = make_pki(directory / "pki", [third_slot.ip4, third_slot.ip6])
    third_slot.options = Options(tls=True, pki=pki.server())
    fourth = LabHost("kvm-04", Options(tcp=True, sasl={USER: PASSWORD}))
    (directory / "password").write_text(PASSWORD)
    key, known = str(directory / "id_ed25519"), str(directory / "known_hosts")
    return [
        Member(first, ("--socket", first.socket)),
        Member(second, ("--ssh", f"root@{second.ip4}", "--key", key, "--known-hosts", known)),
        Member(third_slot, ("--tls", third_slot.ip4, "--pki", str(pki.client()))),
        Member(
            fourth,
            ("--tcp", f"[{fourth.ip6}]", "--sasl-user", USER,
             "--sasl-password-file", str(directory / "password")),
        ),
    ]  # fmt: skip


_GUESTS = {
    "kvm-01": ("web-01", "db-01", "build-01", "old-crm", "rescue-tmp", "template-deb12"),
    "kvm-02": ("web-02", "cache-01", "saved-01"),
    "kvm-03": ("web-03", "build-02", "template-win"),
    "kvm-04": ("db-02", "monitor"),
}


def _fill(host: LabHost) -> None:
    stock.add_networks(host)
    images = stock.add_pools(host)
    stock.add_guests(host, images, names=_GUESTS[host.name])
    if host.name == "kvm-01":
        host.virsh("snapshot-create-as", "template-deb12", "clean")
        stock.add_lease(host)
    if host.name == "kvm-02":
        stock.add_talking_guest(host)


def register(members: list[Member], environ: dict[str, str]) -> None:
    """Add the hosts to the npvirt of `environ` by its own command line."""
    for member in members:
        subprocess.run(
            [sys.executable, "-m", "app.cli", "host", "add", member.host.name, *member.reach],
            env=environ, check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
