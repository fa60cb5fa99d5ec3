"""Certificates for the lab: good ones, and every kind of bad one that a test needs.

Made with certtool; RSA, because libvirt 9.0 insists on keyEncipherment.
"""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_FOR_YEARS = "expiration_days = 3650"
_EXPIRED = (
    'activation_date = "2020-01-01 00:00:00 UTC"\nexpiration_date = "2021-01-01 00:00:00 UTC"'
)


@dataclass(frozen=True)
class Pki:
    """A directory of keys and certificates made by `make_pki`."""

    root: Path

    def server(self, name: str = "server") -> Path:
        """The /etc/pki of a host that shows the certificate `name`: server, serverwrong or
        serverexpired.
        """
        target = self.root / f"srv-{name}"
        if not target.exists():
            (target / "CA").mkdir(parents=True)
            (target / "libvirt/private").mkdir(parents=True)
            shutil.copy(self.root / "cacert.pem", target / "CA/cacert.pem")
            shutil.copy(self.root / f"{name}cert.pem", target / "libvirt/servercert.pem")
            shutil.copy(self.root / f"{name}key.pem", target / "libvirt/private/serverkey.pem")
        return target

    def client(self, name: str | None = "client", authority: str = "ca") -> Path:
        """Npvirt's directory with the certificate `name` (client, clientexpired, clientother, or
        None for none) that trusts `authority` (ca or otherca).
        """
        target = self.root / f"cli-{authority}-{name}"
        if not target.exists():
            target.mkdir()
            shutil.copy(self.root / f"{authority}cert.pem", target / "cacert.pem")
            if name is not None:
                shutil.copy(self.root / f"{name}cert.pem", target / "clientcert.pem")
                shutil.copy(self.root / f"{name}key.pem", target / "clientkey.pem")
                (target / "clientkey.pem").chmod(0o600)
        return target


def make_pki(root: Path, addresses: list[str]) -> Pki:
    """Make everything in the new directory `root`; the server's certificate names `addresses`."""
    root.mkdir(parents=True, exist_ok=True)
    names = 'dns_name = "localhost"\n' + "".join(
        f'ip_address = "{address}"\n' for address in ("127.0.0.1", "::1", *addresses)
    )
    for authority in ("ca", "otherca"):
        _key(root, authority)
        _template(root, authority, f"ca\ncert_signing_key\n{_FOR_YEARS}\n")
        _certtool(root, "--generate-self-signed", authority)
    server, client = "tls_www_server\n", "tls_www_client\n"
    _leaf(root, "server", "ca", server + names + _FOR_YEARS)
    _leaf(root, "serverwrong", "ca", f'{server}dns_name = "elsewhere.example"\n{_FOR_YEARS}')
    _leaf(root, "serverexpired", "ca", server + names + _EXPIRED)
    _leaf(root, "client", "ca", client + _FOR_YEARS)
    _leaf(root, "clientexpired", "ca", client + _EXPIRED)
    _leaf(root, "clientother", "otherca", client + _FOR_YEARS)
    return Pki(root)


def _leaf(root: Path, name: str, authority: str, lines: str) -> None:
    _key(root, name)
    _template(root, name, f'organization = "npvirt"\nsigning_key\nencryption_key\n{lines}\n')
    _certtool(
        root, "--generate-certificate", name,
        "--load-ca-certificate", f"{authority}cert.pem", "--load-ca-privkey", f"{authority}key.pem",
    )  # fmt: skip


def _template(root: Path, name: str, lines: str) -> None:
    (root / f"{name}.info").write_text(f'cn = "{name}"\n{lines}')


def _key(root: Path, name: str) -> None:
    options = ["--generate-privkey", "--key-type", "rsa", "--bits", "2048", "--no-text"]
    _run(root, [*options, "--outfile", f"{name}key.pem"])


def _certtool(root: Path, what: str, name: str, *more: str) -> None:
    files = ["--load-privkey", f"{name}key.pem", "--template", f"{name}.info"]
    _run(root, [what, "--no-text", *files, *more, "--outfile", f"{name}cert.pem"])


def _run(root: Path, arguments: list[str]) -> None:
    subprocess.run(["certtool", *arguments], cwd=root, check=True, capture_output=True)
