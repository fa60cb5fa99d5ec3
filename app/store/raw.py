"""The samples of one object as they were measured, read for roll-ups and charts.

Read only. What they tell is told by app/store/sampled.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from itertools import pairwise

import msgspec
import numpy as np
import sqlalchemy as sa
from msgspec import Struct
from msgspec.structs import replace

from app.inventory import KIND_BY_NAME, Domain, Fact, Host, KindName
from app.metrics import Series, series_of
from app.store import sample_rows, schema
from app.store.codec import damaged
from app.store.engine import Store
from app.store.rollup import Readings, Samples
from app.store.sample_rows import Asked, Rows
from app.store.sampled import CLOCK, Since, Table, is_measured, tables

# So many rows are read at once: it takes some twenty milliseconds.
_PIECE = 16_384


class Object(Struct, frozen=True):
    """An object whose samples are wanted."""

    entity_id: int
    host_id: int
    kind: KindName


def facts_between(
    connection: sa.Connection, wanted: Object, from_ms: int, to_ms: int
) -> list[Since]:
    """What the object was, in the order of time; the first may hold since before `from_ms`."""
    return facts_of_many(connection, wanted.kind, [wanted.entity_id], from_ms, to_ms)[
        wanted.entity_id
    ]


def facts_of_many(
    connection: sa.Connection, kind: KindName, entity_ids: Sequence[int], from_ms: int, to_ms: int
) -> dict[int, list[Since]]:
    """What several objects of a kind were, by id; raises StoreError for a damaged revision."""
    table = schema.revision
    query = (
        sa.select(table.c.entity_id, table.c.valid_from_ms, table.c.body)
        .where(table.c.entity_id.in_(entity_ids), table.c.valid_from_ms < to_ms)
        # What ended right then is wanted, too: a domain may have been started anew at that time.
        .where(sa.or_(table.c.valid_to_ms.is_(None), table.c.valid_to_ms >= from_ms))
        .order_by(table.c.valid_from_ms)
    )
    fact = KIND_BY_NAME[kind].fact
    found: dict[int, list[Since]] = {entity_id: [] for entity_id in entity_ids}
    for row in connection.execute(query):
        try:
            decoded = msgspec.json.decode(row.body, type=fact)
        except msgspec.DecodeError as error:
            raise damaged("A revision of the store is", error) from None
        found[row.entity_id].append(Since(row.valid_from_ms, decoded))
    return found


def cpus_of(fact: Fact) -> int | None:
    """How many CPUs a host or a domain has; None where that is unknown or no question."""
    if isinstance(fact, Host):
        return fact.cpus_online or fact.cpus
    return fact.vcpus if isinstance(fact, Domain) else None


class Together(Struct):
    """Objects that were looked at together, and the samples of all of them."""

    entity_ids: Sequence[int]
    samples: Samples


def samples_between(
    connection: sa.Connection,
    wanted: Object,
    from_ms: int,
    to_ms: int,
    facts: Sequence[Since],
    names: frozenset[str] | None = None,
) -> Samples:
    """The samples from `from_ms` on and before `to_ms`, of the series `names` (None: all).

    One sample before `from_ms` is looked for, so that the first interval is known; it is to be
    skipped.
    """
    begin_ms = _begin_ms(connection, wanted.host_id, from_ms)
    only = wanted.entity_id
    asked = Asked(wanted.host_id, wanted.kind, only, only, begin_ms, to_ms)
    series = [one for one in series_of(wanted.kind) if names is None or one.name in names]
    rows = sample_rows.read(connection, asked, _columns_of(wanted.kind, series))
    places = np.arange(len(rows.times_ms)).reshape(-1, 1)
    table = Table(wanted.kind, rows, places, [only])
    samples = table.samples([0], from_ms, facts)
    told = {one.name: (one.type, table.readings(one, [0])) for one in series}
    samples.series = {
        name: (type_, Readings(one.values[:, 0], None if one.known is None else one.known[:, 0]))
        for name, (type_, one) in told.items()
    }
    return samples


def samples_of_many(
    store: Store,
    host_id: int,
    kind: KindName,
    facts: Mapping[int, Sequence[Since]],
    from_ms: int,
    to_ms: int,
) -> Generator[None, None, Iterator[Together]]:
    """The samples of several objects of one host and kind, each as `samples_between` gives those
    of one, read in pieces; of those that were measured. Those that have the same intervals and
    series are together. `facts` says what each was. Series that were not measured are left out.
    """
    with store.reading() as connection:
        begin_ms = _begin_ms(connection, host_id, from_ms)
        asked = Asked(host_id, kind, min(facts), max(facts), begin_ms, to_ms)
        names = sample_rows.measured_columns(connection, asked)
        edges = _edges_ms(connection, asked, len(facts))
    parts = []
    for begin_ms, end_ms in pairwise(edges):
        with store.reading() as connection:
            part = replace(asked, from_ms=begin_ms, to_ms=end_ms)
            parts.append(sample_rows.read_measured(connection, part, names))
        yield
    return _together(kind, sample_rows.put_together(parts), facts, from_ms)


def _together(
    kind: KindName, rows: Rows, facts: Mapping[int, Sequence[Since]], from_ms: int
) -> Iterator[Together]:
    for table in tables(kind, rows, sorted(facts)):
        for places in table.alike(facts):
            ids = [table.entity_ids[place] for place in places]
            samples = table.samples(places, from_ms, facts[ids[0]])
            told = ((one, table.readings(one, places)) for one in series_of(kind))
            samples.series = {
                one.name: (one.type, values) for one, values in told if is_measured(values)
            }
            yield Together(ids, samples)


def _columns_of(kind: KindName, series: Sequence[Series]) -> tuple[str, ...]:
    """The measured columns that series are made of, and the one by which restarts are known."""
    wanted = {name for one in series for name in one.inputs or (one.name,)} | {CLOCK.get(kind)}
    return tuple(name for name in schema.sample_columns(KIND_BY_NAME[kind]) if name in wanted)


def _begin_ms(connection: sa.Connection, host_id: int, from_ms: int) -> int:
    """From when on samples are read: a sample of the host's last good scan before may tell more."""
    table = schema.scan
    query = sa.select(sa.func.max(table.c.at_ms)).where(
        table.c.host_id == host_id, table.c.at_ms < from_ms, table.c.ok == 1
    )
    found: int | None = connection.scalar(query)
    return from_ms if found is None else found


def _edges_ms(connection: sa.Connection, asked: Asked, objects: int) -> list[int]:
    """Times between which there are some thousands of rows of so many objects, if each of them was
    measured at each scan.
    """
    table = schema.scan
    query = sa.select(table.c.at_ms).where(
        table.c.host_id == asked.host_id,
        table.c.at_ms >= asked.from_ms,
        table.c.at_ms < asked.to_ms,
    )
    times = connection.scalars(query.order_by(table.c.at_ms)).all()
    return [asked.from_ms, *times[:: max(1, _PIECE // objects)][1:], asked.to_ms]
