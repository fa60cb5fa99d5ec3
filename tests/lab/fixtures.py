"""The lab as pytest fixtures: one host of each kind per test process, started when first needed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.host import LabHost, Options, lab_unavailable
from tests.lab.pki import Pki, make_pki

SASL_USER, SASL_PASSWORD = "fred", "s3cret"


@pytest.fixture(scope="session")
def lab() -> None:
    """Skips, with the reason, where no lab host can run."""
    reason = lab_unavailable()
    if reason is not None:
        pytest.skip(reason)


@pytest.fixture(scope="session")
def lab_pki(lab: None, tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """Certificates; the server's name every address that a lab host may get."""
    addresses = [address for n in range(1, 60) for address in (f"10.213.{n}.2", f"fd13:{n}::2")]
    return make_pki(tmp_path_factory.mktemp("pki"), addresses)


@pytest.fixture(scope="session")
def socket_host(lab: None) -> Iterator[LabHost]:
    """A host reached by its socket, empty."""
    with LabHost("lab-socket") as host:
        yield host


@pytest.fixture(scope="session")
def ssh_host(lab: None) -> Iterator[LabHost]:
    """A host reached by SSH on ports 22 and 2222."""
    with LabHost("lab-ssh", Options(ssh=True)) as host:
        yield host


@pytest.fixture(scope="session")
def tls_host(lab_pki: Pki) -> Iterator[LabHost]:
    """A host reached by TLS."""
    with LabHost("lab-tls", Options(tls=True, pki=lab_pki.server())) as host:
        yield host


@pytest.fixture(scope="session")
def sasl_host(lab: None) -> Iterator[LabHost]:
    """A host reached by TCP with a SASL user."""
    with LabHost("lab-sasl", Options(tcp=True, sasl={SASL_USER: SASL_PASSWORD})) as host:
        yield host


@pytest.fixture
def sasl_password(tmp_path: Path) -> Path:
    """A file with the password of the SASL user."""
    path = tmp_path / "password"
    path.write_text(SASL_PASSWORD)
    return path
