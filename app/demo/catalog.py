"""Which hosts and domains the made-up fleet has: declared, and laid out for any size. Pure."""

from collections.abc import Iterator, Sequence
from itertools import count, islice

from msgspec import Struct
from msgspec.structs import replace

from app.connection import Connection
from app.demo.plan import Plan, number, uuid_of
from app.demo.planted import FILLING, IDLE, OVERCOMMITTED, OVERSIZED

GIB = 1 << 30


class Site(Struct, frozen=True):
    """One made-up host; `connection` is for show and never dialled. `bridge` is what its domains
    are on; `pools` are name, type and capacity in GiB.
    """

    slug: str
    connection: Connection
    processor: str
    sockets: int
    pools: tuple[tuple[str, str, int], ...]
    cores: int = 0
    threads: int = 0
    memory_gib: int = 0
    bridge: str = "br20"


def _ssh(host: str) -> Connection:
    return Connection(transport="ssh", host=f"{host}.demo.example", user="npvirt")


_EPYC, _XEON = "AMD EPYC 7443 24-Core Processor", "Intel(R) Xeon(R) Gold 6338 CPU @ 2.00GHz"
_SMALL = "Intel(R) Xeon(R) D-2146NT CPU @ 2.30GHz"
_DISKS = (("images", "dir", 7200), ("backup", "netfs", 3200))

_SITES = (
    Site("kvm-01", _ssh("kvm-01"), _EPYC, 2, _DISKS),
    Site("kvm-02", _ssh("kvm-02"), _EPYC, 2,
         (("images", "dir", 5400), (FILLING.pool, "logical", 3800))),
    Site("kvm-03", _ssh("kvm-03"), _EPYC, 2, (("images", "dir", 5400),)),
    Site("kvm-04", _ssh("kvm-04"), _XEON, 2, _DISKS),
    Site("kvm-05", _ssh("kvm-05"), _XEON, 2, (("images", "dir", 5400),)),
    Site("kvm-06", _ssh("kvm-06"), _XEON, 2, (("images", "dir", 5400), ("iso", "netfs", 900))),
    Site("edge-a1", Connection(transport="tls", host="edge-a1.demo.example"), _SMALL, 1,
         (("images", "dir", 1800),)),
    Site("lab-1", Connection(transport="tls", host="lab-1.demo.example"), _XEON, 1,
         (("lab", "dir", 3600),), bridge="lab"),
    Site("lab-2", Connection(transport="unix", socket="/run/libvirt/demo-lab-2-sock"), _SMALL, 1,
         (("lab", "zfs", 3600),), bridge="lab"),
)  # fmt: skip


class Role(Struct, frozen=True):
    """A kind of domain: `{n}` in its name counts. `life` says how it comes and goes: always,
    office (week days), ci (with its work), lab (now and then).
    """

    name: str
    count: int
    vcpus: int
    memory_gib: int
    disks_gib: tuple[int, ...]
    load: str
    hosts: tuple[str, ...]
    title: str = ""
    life: str = "always"
    os: str = "Debian GNU/Linux 12 (bookworm)"
    graphics: str = "vnc"


_MAIN = ("kvm-01", "kvm-02", "kvm-03", "kvm-04", "kvm-05", "kvm-06")
_LAB = ("lab-1", "lab-2")
_WINDOWS = "Windows Server 2022"
_UBUNTU = "Ubuntu 24.04 LTS"

ROLES = (
    Role("app-{n:02d}", 30, 4, 8, (40,), "web", _MAIN, "Shop application server"),
    Role("db-primary", 1, 16, 24, (60, 600), "db", ("kvm-02",), "Shop database"),
    Role("build-{n:02d}", 8, 8, 16, (120,), "ci", ("kvm-02", "kvm-03"), "Build machine", "ci"),
    Role("k8s-w{n}", 20, 8, 32, (80,), "flat", _MAIN, "Kubernetes worker"),
    Role("erp-test", 1, 4, 16, (160,), "dev", ("lab-1",), "ERP, for testing", os=_WINDOWS),
    Role("db-replica-{n}", 3, 8, 16, (60, 600), "db", ("kvm-01", "kvm-04"), "Shop database"),
    Role("staging-web", 1, 2, 4, (30,), "dev", ("kvm-03",), "Staging"),
    Role("ci-runner-{n:02d}", 12, 4, 8, (60,), "ci", ("kvm-02", "kvm-03"), "CI runner", "ci"),
    Role("web-{n}", 16, 2, 4, (20,), "web", _MAIN, "Public web server"),
    Role("dev-box-{n:02d}", 22, 4, 8, (80,), "dev", ("kvm-05", "kvm-06", "kvm-03"),
         "Workstation", "office", _UBUNTU, "spice"),
    Role("k8s-cp-{n}", 3, 4, 8, (60,), "flat", ("kvm-01", "kvm-03", "kvm-04"),
         "Kubernetes control plane"),
    Role("mail-1", 1, 4, 8, (40, 400), "db", ("kvm-04",), "Mail"),
    Role("cache-{n}", 4, 2, 16, (20,), "web", ("kvm-01", "kvm-03"), "Cache"),
    Role("ldap-{n}", 2, 1, 2, (20,), "flat", ("kvm-01", "kvm-04"), "Directory"),
    Role("win-ts-{n}", 4, 8, 24, (120,), "win", ("kvm-05", "kvm-04"), "Terminal server",
         os=_WINDOWS, graphics="spice"),
    Role("files-{n}", 2, 2, 8, (40, 800), "db", ("kvm-04", "kvm-01"), "File server"),
    Role("lab-vm-{n:02d}", 24, 2, 4, (30,), "lab", _LAB, "", "lab", _UBUNTU),
    Role("edge-gw-{n}", 6, 2, 4, (20,), "edge", ("edge-a1",), "Edge gateway"),
    Role("backup-srv", 1, 4, 8, (40,), "batch", ("kvm-04",), "Backups"),
    Role("log-{n}", 3, 4, 16, (40, 500), "flat", ("kvm-03", "kvm-06"), "Logs"),
    Role("mq-{n}", 3, 2, 8, (40,), "web", ("kvm-01", "kvm-06"), "Message queue"),
    Role("erp-prod", 1, 8, 64, (60, 400), "win", ("kvm-06",), "ERP", os=_WINDOWS),
    Role("git-1", 1, 4, 16, (40, 300), "dev", ("kvm-03",), "Code"),
    Role("proxy-{n}", 2, 2, 4, (20,), "web", ("kvm-01", "kvm-06"), "Reverse proxy"),
    Role("mon-1", 1, 4, 16, (40, 200), "flat", ("kvm-03",), "Monitoring"),
    Role("wiki-{n}", 2, 2, 4, (60,), "dev", ("kvm-05", "kvm-06"), "Wiki"),
    Role("win-dc-{n}", 2, 2, 8, (80,), "flat", ("kvm-04", "kvm-05"), "Domain controller",
         os=_WINDOWS),
    Role("batch-{n}", 4, 8, 16, (80,), "batch", ("kvm-06", "kvm-01"), "Nightly jobs"),
    Role("vpn-1", 1, 2, 2, (20,), "edge", ("kvm-06",), "VPN"),
    Role("dns-{n}", 2, 1, 2, (20,), "flat", ("kvm-01", "kvm-06"), "Name server"),
    Role("staging-db", 1, 4, 8, (120,), "dev", ("kvm-03",), "Staging"),
    Role("registry-1", 1, 4, 8, (40, 500), "dev", ("kvm-03",), "Images"),
    Role("crm-prod", 1, 4, 16, (120,), "win", ("kvm-05",), "CRM"),
    Role("chat-1", 1, 2, 8, (80,), "dev", ("kvm-06",), "Chat"),
)  # fmt: skip
_IDLE = Role("", 1, 2, 4, (60,), "idle", ("kvm-01", "kvm-03", "kvm-04", "kvm-06"))
_OVERSIZED = Role("", 1, 16, 64, (200,), "oversized", ("kvm-01", "kvm-03", "kvm-06"))


class Spec(Struct, frozen=True):
    """One domain of the fleet as it was first defined, and its host then."""

    name: str
    uuid: str
    role: Role
    host: str


def sites(plan: Plan) -> tuple[Site, ...]:
    """The hosts of a plan, with threads and memory that fit what runs on them."""
    more = (_another(number) for number in count(7))
    chosen = [*_SITES[: plan.hosts], *islice(more, max(0, plan.hosts - len(_SITES)))]
    needed: dict[str, tuple[int, int]] = {site.slug: (0, 0) for site in chosen}
    for spec in _placed(plan, [site.slug for site in chosen]):
        vcpus, memory = needed[spec.host]
        needed[spec.host] = (vcpus + spec.role.vcpus, memory + spec.role.memory_gib)
    return tuple(_fitted(site, *needed[site.slug]) for site in chosen)


def specs(plan: Plan) -> tuple[Spec, ...]:
    """The domains of a plan."""
    return tuple(_placed(plan, [site.slug for site in sites(plan)]))


def _another(place: int) -> Site:
    slug = f"kvm-{place:02d}"
    return Site(slug, _ssh(slug), _XEON, 2, (("images", "dir", 5400),))


_SIZES_GIB = (32, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048)
_CORES = (4, 8, 12, 16, 20, 24, 32, 40, 48, 64)


def _fitted(site: Site, vcpus: int, memory_gib: int) -> Site:
    """The host in a size that one could buy: roomy, but for the one that is overcommitted."""
    if site.slug == OVERCOMMITTED.host:
        memory = round(memory_gib / OVERCOMMITTED.memory_ratio / 8) * 8 or 32
        cores = max(2, round(vcpus / OVERCOMMITTED.vcpus_per_thread / site.sockets / 2))
    else:
        memory = next((size for size in _SIZES_GIB if size >= memory_gib * 1.18), 2048)
        wanted = vcpus / 2.1 / site.sockets / 2
        cores = next((number for number in _CORES if number >= wanted), 64)
    return replace(site, memory_gib=memory, cores=cores, threads=cores * 2 * site.sockets)


def _placed(plan: Plan, slugs: Sequence[str]) -> Iterator[Spec]:
    for place, (name, role) in enumerate(islice(_named(), plan.domains)):
        hosts = [slug for slug in role.hosts if slug in slugs]
        extra = slugs[len(_SITES) :]
        if extra and len(slugs) > len(_SITES) and place % 5:
            hosts = list(extra)
        elif not hosts:
            hosts = list(slugs)
        host = hosts[number(plan.seed, "host", name) % len(hosts)]
        yield Spec(name, uuid_of(plan.seed, "domain", name), role, host)


def _named() -> Iterator[tuple[str, Role]]:
    """Names without end: the planted ones, then the first of every role, then the second, ..."""
    for name in OVERSIZED:
        yield name, _OVERSIZED
    first = [(role.name.format(n=1), role) for role in ROLES]
    yield from first[:5]
    for name in IDLE:
        yield name, replace(_IDLE, os=_WINDOWS) if name.startswith("win") else _IDLE
    yield from first[5:]
    for turn in count(2):
        for role in ROLES:
            if turn <= role.count or (turn > 30 and "{" in role.name):
                yield role.name.format(n=turn), role
