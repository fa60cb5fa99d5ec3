"""The write side of the list of changes: what a scan found becomes rows, in its transaction.

Owns what is told and what is not: what a host shows when it is first looked at was not created
then, what goes along with something else (the volumes of a pool) is not told again, and a domain
that vanishes here and appears there has moved. A scan that found nothing new costs nothing here.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import sqlalchemy as sa
from msgspec import Struct
from msgspec.structs import asdict

from app.clock import rfc3339
from app.inventory import Definition, Fact, KindName, PartialLook, Pool, Scan, What
from app.store import schema
from app.store.differences import Difference, differences, saved_differences
from app.store.facts import facts_by_id
from app.store.looks import MISSED_TICKS
from app.store.moves import note_moves

# How long a domain's definition may have been read before, at most: app/virt/read sees to it.
DEFINITION_MS = 15 * 60_000
_GRACE_MS = 60_000

# What is read from a definition, so that a change of it explains the change of the XML.
DEFINED = frozenset(
    ("name", "memory_bytes", "max_memory_bytes", "vcpus", "max_vcpus", "disks", "nics", "title",
     "description", "graphics")
)  # fmt: skip
_CONNECTED = re.compile(r" state=(['\"])(?:dis)?connected\1")
_ID = re.compile(r"<domain[^>]* id=['\"](\d+)['\"]")


# Of which fields an event tells that they changed then, "" for that the object came or went; what
# else is found by the way may have changed at any time since it was read.
_VOUCHED: Mapping[What, frozenset[str]] = {
    "state": frozenset(("", "state", "id")),
    "definition": DEFINED
    | {"", "definition", "persistent", "target", "source"}
    | {"bridge", "forward", "domain_name", "addresses", "dhcp"},
    "devices": frozenset(("disks", "nics", "definition")),
    "memory": frozenset(("memory_bytes", "definition")),
    "metadata": frozenset(("title", "description", "definition")),
}


class Turn(Struct, gc=False):
    """How one thing went from one revision to another. `listed`: its like were listed before, so
    that it is new if it was not there. A definition's `entity_id` and `name` are its domain's.
    """

    kind: KindName
    key: str
    name: str
    old: Fact | None = None
    new: Fact | None = None
    entity_id: int | None = None
    old_id: int | None = None
    new_id: int | None = None
    listed: bool = True


class Row(Struct, gc=False):
    """A row of the table, without its id; the columns are told there."""

    at_ms: int
    after_ms: int | None
    host_id: int | None
    entity_id: int | None
    kind: str
    key: str
    name: str
    what: str
    part: str | None = None
    old: str | None = None
    new: str | None = None
    old_revision_id: int | None = None
    new_revision_id: int | None = None
    xml_revision_id: int | None = None
    peer_host_id: int | None = None
    replaced_ms: int | None = None


def told(
    turns: Sequence[Turn], host_id: int, at_ms: int, after: Callable[[Turn, str], int | None]
) -> list[Row]:
    """What the turns of one scan tell; `after` says when a field of a thing was last seen as it
    was before. Pure.
    """
    definitions = {turn.key: turn for turn in turns if turn.kind == "definition"}
    pools_gone = {turn.key for turn in turns if turn.kind == "pool" and turn.new is None}
    rows: list[Row] = []
    # What a domain tells itself of what its definition says, by its key.
    explained: dict[str, list[Difference]] = {}
    for turn in turns:
        if turn.kind == "definition" or _goes_along(turn, pools_gone):
            continue
        for one in _told_of(turn, turns):
            xml = definitions.get(turn.key) if one.field in DEFINED else None
            if xml is not None and xml.old is not None:
                explained.setdefault(turn.key, []).append(one)
            row = _row(turn, one, host_id, at_ms, after(turn, one.field))
            row.xml_revision_id = None if xml is None or xml.old is None else xml.new_id
            rows.append(row)
    for key, turn in definitions.items():
        for one in _told_of_definition(turn, explained.get(key, ())):
            row = _row(turn, one, host_id, at_ms, after(turn, "definition"))
            row.kind, row.xml_revision_id = "domain", turn.new_id
            row.old_revision_id = row.new_revision_id = None
            rows.append(row)
    return rows


def _told_of_definition(turn: Turn, explained: Sequence[Difference]) -> list[Difference]:
    """What a definition tells beyond what its domain does."""
    old, new = turn.old, turn.new
    if not isinstance(old, Definition) or not isinstance(new, Definition):
        return []
    own = {(f"saved-{one.what}", one.old, one.new) for one in explained}
    saved = [one for one in saved_differences(old, new) if (one.what, one.old, one.new) not in own]
    if saved or explained or not _rewritten(old, new):
        return saved
    return [Difference("definition-changed", "definition")]


def _goes_along(turn: Turn, pools_gone: set[str]) -> bool:
    return turn.kind == "volume" and turn.new is None and turn.key.split("/", 1)[0] in pools_gone


def _told_of(turn: Turn, turns: Sequence[Turn]) -> list[Difference]:
    if turn.old is not None or turn.listed:
        return differences(turn.kind, turn.old, turn.new)
    if turn.kind != "host":
        return []
    seen = Counter(other.kind for other in turns if other.old is None)
    counts = [f"{kind}={seen[kind]}" for kind in ("domain", "pool", "volume", "network")]
    return [Difference("added", new=" ".join(counts))]


def _row(turn: Turn, one: Difference, host_id: int, at_ms: int, after_ms: int | None) -> Row:
    return Row(
        at_ms, after_ms, host_id, turn.entity_id, turn.kind, turn.key, turn.name, one.what,
        one.part, one.old, one.new, turn.old_id, turn.new_id,
    )  # fmt: skip


def _rewritten(old: Definition, new: Definition) -> bool:
    """Whether somebody changed a definition: not that the domain started, stopped or was seen."""
    if old.inactive_xml is not None and new.inactive_xml is not None:
        if old.inactive_xml != new.inactive_xml:
            return True
    elif old.inactive_xml != new.inactive_xml:
        return False
    return _live_rewritten(old.live_xml, new.live_xml)


def _live_rewritten(old: str | None, new: str | None) -> bool:
    if old is None or new is None:
        return False
    was, now = _ID.search(old), _ID.search(new)
    if was is None or now is None or was[1] != now[1]:
        return False
    return _CONNECTED.sub("", old) != _CONNECTED.sub("", new)


def insert_changes(connection: sa.Connection, rows: Sequence[Row]) -> None:
    """Write the rows, and join those that are halves of a move."""
    if rows:
        connection.execute(sa.insert(schema.change), [asdict(row) for row in rows])
        note_moves(connection, rows)


class ChangeLog:
    """Tells the changes of one host, scan by scan; see Recorder, which owns it."""

    def __init__(self, host_id: int, slug: str, interval_ms: int) -> None:
        self._host_id = host_id
        self._slug = slug
        self._interval_ms = interval_ms
        self._last_ms: int | None = None
        self._good_ms: int | None = None
        # When a kind was last listed, and a definition last read, as far as it is remembered.
        self._listed: dict[str, int] = {}
        self._read: dict[str, int] = {}
        # When something was looked at alone since the last scan, by kind and key.
        self._partial: dict[tuple[str, str], int] = {}

    def follow(self, connection: sa.Connection, last_ms: int | None) -> None:
        """Forget what is remembered: the store is now at the scan of `last_ms`."""
        self._listed, self._read, self._partial = {}, {}, {}
        self._last_ms = last_ms
        self._good_ms = last_scan(connection, self._host_id, schema.scan.c.ok == 1)

    def went_on(self, at_ms: int) -> None:
        """Take note that good scans found nothing new up to `at_ms`."""
        self._last_ms = self._good_ms = at_ms
        self._listed = dict.fromkeys(self._listed, at_ms)
        self._read, self._partial = {}, {}

    def write(
        self, connection: sa.Connection, scan: Scan, at_ms: int, turns: Sequence[Turn]
    ) -> None:
        """Write what the scan of `at_ms` tells."""
        rows = list(self._of_host(connection, scan, at_ms))
        if turns:
            _read_definitions(connection, turns)
            rows += told(turns, self._host_id, at_ms, lambda *of: self._after(connection, *of))
        insert_changes(connection, rows)
        self._last_ms = at_ms
        if scan.ok:
            self._good_ms = at_ms
        self._read.update(dict.fromkeys(scan.definitions, at_ms))
        self._listed.update(dict.fromkeys(_listed(scan), at_ms))
        self._partial = {one: ms for one, ms in self._partial.items() if ms > at_ms}

    def write_partial(
        self, connection: sa.Connection, look: PartialLook, at_ms: int, turns: Sequence[Turn]
    ) -> None:
        """Write what a look at some objects tells, whose time is `at_ms`. What the events tell of
        is known to have happened then: not after another time, but after that very one.
        """

        def after(turn: Turn, field: str) -> int | None:
            kind = "domain" if turn.kind == "definition" else turn.kind
            what = look.told.get((kind, turn.key), frozenset())
            if any(field in _VOUCHED.get(one, ()) for one in what):
                return at_ms
            return self._after(connection, turn, field)

        _read_definitions(connection, turns)
        insert_changes(connection, told(turns, self._host_id, at_ms, after))
        self._read.update(dict.fromkeys(look.definitions, at_ms))
        for kind, found in (
            ("domain", look.domains), ("pool", look.pools), ("network", look.networks),
        ):  # fmt: skip
            self._partial.update({(kind, key): at_ms for key in found})

    def ever_listed(self, connection: sa.Connection, kind: KindName) -> bool:
        """Whether any scan before listed that kind whole."""
        return kind in self._listed or _scan_listing(connection, self._host_id, kind) is not None

    def _of_host(self, connection: sa.Connection, scan: Scan, at_ms: int) -> Iterator[Row]:
        look = Look(
            self._host_id, self._slug, at_ms, scan.ok, scan.sentence, self._interval_ms,
            self._last_ms, self._good_ms,
        )  # fmt: skip
        return told_of_host(connection, look, lambda: _newest(connection))

    def _after(self, connection: sa.Connection, turn: Turn, field: str) -> int | None:
        if turn.old is None and not turn.listed:
            return None
        kind: KindName = "domain" if turn.kind == "definition" else turn.kind
        listed_ms = self._listed.get(kind) or _scan_listing(connection, self._host_id, kind)
        partial_ms = self._partial.get((kind, turn.key))
        if partial_ms is not None:
            listed_ms = max(partial_ms, listed_ms or 0)
        if kind == "domain" and turn.old is not None and field in (*DEFINED, "definition"):
            return self._read.get(turn.key) or read_before(connection, turn, listed_ms)
        return listed_ms


def _newest(connection: sa.Connection) -> int | None:
    found: int | None = connection.scalar(sa.select(sa.func.max(schema.scan.c.at_ms)))
    return found


class Look(Struct, frozen=True):
    """A scan of a host, the planned interval, and when the scan and the good scan before it were:
    all that what is told of the host itself depends on.
    """

    host_id: int
    slug: str
    at_ms: int
    ok: bool
    sentence: str | None
    interval_ms: int
    last_ms: int | None
    good_ms: int | None


def told_of_host(
    connection: sa.Connection, look: Look, newest: Callable[[], int | None]
) -> Iterator[Row]:
    """That nobody looked at anything before this scan, since npvirt was stopped; that the host
    stopped answering, or does again. `newest` looks for the scan of any host before it.
    """
    at_ms, last_ms, good_ms = look.at_ms, look.last_ms, look.good_ms
    longest_ms = MISSED_TICKS * look.interval_ms + _GRACE_MS
    if last_ms is not None and at_ms - last_ms > longest_ms:
        newest_ms = newest()
        if newest_ms is not None and at_ms - newest_ms > longest_ms:
            yield Row(at_ms, newest_ms, None, None, "npvirt", "", "npvirt", "no-scans")
    if good_ms is not None and look.ok != (good_ms == last_ms):
        entity_id = host_entity(connection, look.host_id)
        row = Row(at_ms, last_ms, look.host_id, entity_id, "host", "host", look.slug, "unreachable")
        if look.ok:
            row.what, row.old = "back", rfc3339(good_ms)
        else:
            row.new = look.sentence
        yield row


def last_scan(
    connection: sa.Connection,
    host_id: int,
    condition: sa.ColumnElement[bool],
    before_ms: int | None = None,
) -> int | None:
    """The time of the host's last scan (before a time) of which `condition` holds."""
    at = schema.scan.c.at_ms
    query = sa.select(at).where(schema.scan.c.host_id == host_id, condition)
    if before_ms is not None:
        query = query.where(at < before_ms)
    return connection.scalar(query.order_by(at.desc()).limit(1))


def listing(kind: KindName) -> sa.ColumnElement[bool]:
    """The condition that a scan listed `kind` whole; of volumes: measured them all."""
    column = schema.scan.c.sampled if kind == "volume" else schema.scan.c.listed
    return column.op("&")(schema.KIND_BIT[kind]) != 0


def _scan_listing(connection: sa.Connection, host_id: int, kind: KindName) -> int | None:
    return last_scan(connection, host_id, listing(kind))


def read_before(connection: sa.Connection, turn: Turn, listed_ms: int | None) -> int | None:
    """When a domain's definition was read at the latest, where nobody remembers."""
    since = connection.scalar(
        sa.select(schema.revision.c.valid_from_ms).where(schema.revision.c.id == turn.old_id)
    )
    if listed_ms is None or since is None:
        return listed_ms
    return max(int(since), listed_ms - DEFINITION_MS)


def host_entity(connection: sa.Connection, host_id: int) -> int | None:
    """The entity that is the host itself; None before it was first seen."""
    entity = schema.entity
    query = sa.select(entity.c.id).where(entity.c.host_id == host_id, entity.c.kind == "host")
    return connection.scalar(query)


def _listed(scan: Scan) -> Iterable[str]:
    """What a scan listed whole, volumes included."""
    lists: Mapping[str, object] = {
        "host": scan.host, "domain": scan.domains, "pool": scan.pools, "network": scan.networks,
        "interface": scan.interfaces, "volume": scan.volumes or None,
    }  # fmt: skip
    return [kind for kind, found in lists.items() if found is not None]


def _read_definitions(connection: sa.Connection, turns: Sequence[Turn]) -> None:
    """Fill in what was said before by the definitions that are others now."""
    turned = {
        turn.old_id: turn for turn in turns if turn.kind == "definition" and turn.old_id is not None
    }
    for number, fact in facts_by_id(connection, dict.fromkeys(turned, "definition")).items():
        turned[number].old = fact


def pool_was_read(pool: Fact | None) -> bool:
    """Whether the volumes of a pool could be listed while it was like this."""
    return isinstance(pool, Pool) and pool.state == "running"
