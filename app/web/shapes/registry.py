"""The shapes of how hosts are reached, and of the bodies that say so."""

from collections.abc import Sequence

from msgspec import Struct

from app.web.shapes.common import Counted, Shape


class Reached(Shape):
    """How npvirt reaches a host; `key`, `known_hosts`, `pki` and `sasl` name credentials."""

    driver: str
    transport: str
    path: str
    host: str | None
    port: int | None
    user: str | None
    socket: str | None
    key: str | None
    known_hosts: str | None
    pki: str | None
    sasl: str | None
    read_only: bool
    allowed_roots: Sequence[str]


class WatchedHost(Shape):
    """A host of the registry."""

    host: str
    enabled: bool
    url: str
    connection: Reached


class DiagnosisStep(Shape):
    """A step on the way to a host; `ok` null: not tried, or not decisive."""

    name: str
    ok: bool | None
    took_ms: int
    message: str
    next: str


class HostKeyShown(Shape):
    """An SSH key that a host shows, to be compared with what it prints itself."""

    type: str
    fingerprint: str


class ConnectionTested(Shape):
    """What a test of a connection came to, step by step."""

    ok: bool
    sentence: str
    took_ms: int
    steps: list[DiagnosisStep]
    # Where the host's key is the trouble.
    host_keys: list[HostKeyShown]


class CredentialTold(Shape):
    """A credential by its name; what is secret of it is never told."""

    name: str
    kind: str
    username: str | None


class Credentials(Counted):
    """What connections may name."""

    items: list[CredentialTold]


# --- bodies --------------------------------------------------------------------------------------


class ReachedWanted(Struct, forbid_unknown_fields=True):
    """How to reach a host: `transport` is unix, ssh, tls or tcp, `path` system or session."""

    transport: str
    path: str = "system"
    host: str | None = None
    port: int | None = None
    user: str | None = None
    socket: str | None = None
    key: str | None = None
    known_hosts: str | None = None
    pki: str | None = None
    sasl: str | None = None
    read_only: bool = False


class HostWanted(Struct, forbid_unknown_fields=True):
    """A new host."""

    name: str
    connection: ReachedWanted


class HostChange(Struct, forbid_unknown_fields=True):
    """One change of a host: its `name`, whether it is `enabled`, or `read_only`."""

    name: str | None = None
    enabled: bool | None = None
    read_only: bool | None = None


class TrustWanted(Struct, forbid_unknown_fields=True):
    """The fingerprints that were compared."""

    fingerprints: list[str]
