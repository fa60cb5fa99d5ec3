"""Storage pools across hosts, and one pool with its volumes.

A pool's figures are those of libvirt's last look at it; of an inactive one there are none.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from flask import Blueprint, Response, request
from msgspec.structs import replace

from app.inventory import PoolSample
from app.language import gettext
from app.store.history import Fleet
from app.store.usage import Usage
from app.web.action_buttons import head, menu, new_things
from app.web.api.lists import answer_named
from app.web.change_rows import pool_panel
from app.web.chart_panel import Subject, panel
from app.web.charts import PARAMETERS, POOL_CHARTS
from app.web.days_left import days_left
from app.web.figures import percent, size, size_of, warning
from app.web.finding import find_pool
from app.web.format import UNKNOWN, number, plural, switch
from app.web.host_page import find_host
from app.web.kinds import POOLS, VOLUMES, PoolSeen, VolumeSeen, plain_list, volumes_of
from app.web.list_page import (
    asked,
    columns,
    host_choices,
    pager,
    parameters,
    placed,
    state_choices,
)
from app.web.listing import Kind
from app.web.page import Drawing, View, draw
from app.web.permission import needs
from app.web.since import list_since, object_since
from app.web.spark_rows import Sparks
from app.web.sparks import NO_SPARK, Spark
from app.web.when import When, Zone, since_text
from app.web.words import POOL_LOOKS, look_of

blueprint = Blueprint("storage", __name__)

# The pages begin with what is fullest; the API with the name, as every list there.
POOLS_PAGE: Kind[PoolSeen] = replace(POOLS, default_sort="-used")
VOLUMES_PAGE: Kind[VolumeSeen] = replace(VOLUMES, default_sort="-allocation_bytes")

LIST = View("storage/list.html", "storage", parameters(POOLS_PAGE))
ONE = View(
    "storage/one.html",
    "storage",
    (parameters(VOLUMES_PAGE) | PARAMETERS) - {"host", "differs"},
)

# All rows share one scale, so that their marks line up: the bar is 160 % of a pool's size wide.
_SCALE = 1.6
_COLUMNS = (
    ("Pool", "", "name", ""),
    ("Host", "p2", "host", ""),
    ("State", "", "state", ""),
    ("Type", "p3", "type", ""),
    ("Used", "", "used", ""),
    ("Full", "p2", "", ""),
    ("24 h", "p4", "", ""),
    ("Allocated / size", "num p2", "allocation_bytes", ""),
    ("Promised", "num p3", "", ""),
    ("Free", "num p3", "available_bytes", ""),
    ("Autostart", "p2", "", ""),
)
_PAST_COLUMNS = (*_COLUMNS[:-1], ("Since then", "", "", ""))
_VOLUME_COLUMNS = (
    ("Volume", "", "name", ""),
    ("Used by", "", "", ""),
    ("Format", "p2", "format", ""),
    ("Allocated / size", "", "allocation_bytes", ""),
)


class Bar(NamedTuple):
    """A capacity bar in percent of its width; `promised` "" draws none."""

    size: str
    used: str
    promised: str
    css: str


class PoolRow(NamedTuple):
    """One pool; `bar` None where nothing can be read, for the reason `unread`."""

    host: str
    uuid: str
    name: str
    damaged: str
    known: bool
    css: str
    icon: str
    word: str
    small: str
    type: str
    bar: Bar | None
    unread: str
    percent: str
    percent_css: str
    allocated: str
    promised: str
    promised_css: str
    free: str
    autostart: str
    title: str
    spark: Spark


class VolumeRow(NamedTuple):
    """One volume; `users` are (address, name, disk), `percent` "" with an empty meter, "?" with a
    hatched one.
    """

    id: int
    name: str
    path: str
    damaged: str
    users: tuple[tuple[str, str, str], ...]
    more_users: int
    use: str
    unused: bool
    format: str
    known: bool
    percent: str
    css: str
    text: str


@blueprint.get("/pools")
@blueprint.get("/ui/pools")
@blueprint.get("/ui/since/pools")
@needs("viewer")
def pools() -> Response:
    """The list of storage pools, its part, or all of it as CSV."""
    if "format" in request.args:
        return answer_named("pools")
    return placed(draw(LIST, build_list, SINCE), "/pools")


@blueprint.get("/hosts/<slug>/pools/<uuid>")
@blueprint.get("/ui/hosts/<slug>/pools/<uuid>")
@blueprint.get("/ui/since/hosts/<slug>/pools/<uuid>")
@needs("viewer")
def pool(slug: str, uuid: str) -> Response:
    """One storage pool with its volumes, or its part."""
    since = object_since("pool", lambda drawing: find_pool(drawing.fleet, slug, uuid))
    answer = draw(ONE, lambda drawing: build_pool(drawing, slug, uuid), since)
    return placed(answer, f"/hosts/{slug}/pools/{uuid}")


def on_page(drawing: Drawing) -> Sequence[PoolSeen]:
    """The pools that the page shows."""
    ask = asked(drawing, POOLS_PAGE, "/pools")
    basis = ask.basis.pools if ask.basis else None
    return plain_list(drawing.fleet.pools, POOLS_PAGE, ask.query, basis).found.items


SINCE = list_since("pool", on_page)


def build_list(drawing: Drawing) -> Mapping[str, object]:
    """The context of storage/list.html."""
    seen = drawing.fleet
    ask = asked(drawing, POOLS_PAGE, "/pools")
    basis = ask.basis.pools if ask.basis else None
    answer = plain_list(seen.pools, POOLS_PAGE, ask.query, basis)
    since = _since(seen, drawing.zone)
    words = {state: look.word for state, look in POOL_LOOKS.items()}
    draw = Sparks(seen)
    href = ask.exported().replace("/pools", "/api/v1/pools", 1)
    return {
        "title": "Storage",
        "asked": ask,
        "text": ask.query.text,
        "hosts": host_choices(seen, ask.query.host),
        "states": state_choices(words, ask.query.state),
        "columns": columns(ask, _COLUMNS if drawing.live else _PAST_COLUMNS),
        "rows": [pool_row(one, since, drawing.zone, draw.pool(one)) for one in answer.found.items],
        "left": days_left(drawing, answer.found.items),
        "total": answer.found.total,
        "total_everywhere": len(seen.pools),
        "has_hosts": bool(seen.hosts),
        "narrowed": ask.query.narrows,
        "clear": ask.href(hosts=(), states=(), text=""),
        "pager": pager(ask, answer.found.total),
        "summary": _summary(seen),
        "csv": f"{href}{'&' if '?' in href else '?'}format=csv",
        "acting": False,
        "acting_rows": drawing.acts,
        "new_on": _hosts_for_new(drawing),
    }


def _hosts_for_new(drawing: Drawing) -> list[str]:
    """The hosts on which the reader may define a pool."""
    if not (drawing.live and drawing.may("admin")):
        return []
    return [view.slug for view in drawing.fleet.hosts if view.status.known]


def _since(seen: Fleet, zone: Zone) -> dict[str, When | None]:
    return {
        view.slug: zone.maybe(view.status.unknown_since_ms, seen.as_of_ms) for view in seen.hosts
    }


def _summary(seen: Fleet) -> str:
    """How many pools there are, how many can be read, and what those hold together."""
    if not seen.pools:
        return ""
    hosts = len({one.host for one in seen.pools})
    readable = [one.sample for one in seen.pools if one.known and one.sample is not None]
    sizes = [
        (sample.allocation_bytes, sample.capacity_bytes)
        for sample in readable
        if sample.allocation_bytes is not None and sample.capacity_bytes is not None
    ]
    parts = [f"{plural(len(seen.pools), 'pool')} on {plural(hosts, 'host')}"]
    if len(sizes) < len(seen.pools):
        parts.append(f"{len(sizes)} readable")
    if sizes:
        held, whole = (sum(column) for column in zip(*sizes, strict=True))
        parts.append(f"{size_of(held, whole)} allocated")
    return " · ".join(parts)


def pool_row(
    seen: PoolSeen, since: Mapping[str, When | None], zone: Zone, drawn: Spark = NO_SPARK
) -> PoolRow:
    """One row of the table of pools."""
    pool = seen.fact
    when = since.get(seen.host)
    if seen.known:
        css, icon, word = look_of(POOL_LOOKS, pool.state)
        small = ""
    else:
        css, icon, word = "unk", "unk", gettext("Unknown")
        small = since_text(when)
    sample = (seen.sample if seen.known else None) or PoolSample()
    filled = percent(sample.allocation_bytes, sample.capacity_bytes)
    promised = percent(sample.volumes_capacity_bytes, sample.capacity_bytes)
    refreshed = zone.maybe(sample.refreshed_at_ms, seen.at_ms)
    return PoolRow(
        seen.host, seen.key, pool.name, pool.damaged or "", seen.known, css, icon, word, small,
        pool.type or UNKNOWN,
        None if filled is None else _bar(filled, promised),
        _unread(seen),
        "" if filled is None else f"{filled} %",
        _text_css(filled),
        UNKNOWN if filled is None else size_of(sample.allocation_bytes, sample.capacity_bytes),
        UNKNOWN if promised is None else f"{promised} %",
        "warn-t" if (promised or 0) > 120 else "",
        size(sample.available_bytes),
        switch(pool.autostart),
        gettext("values from %(time)s", time=refreshed.clock) if refreshed else "",
        drawn,
    )  # fmt: skip


def _text_css(filled: int | None) -> str:
    grade = warning(filled)
    return f"{grade}-t" if grade else ""


def _bar(filled: int, promised: int | None) -> Bar:
    def width(share: int) -> str:
        return f"{min(100.0, share / _SCALE):.1f}"

    over = promised is not None and promised > 100
    return Bar(
        width(100), width(filled), width(promised) if promised is not None and over else "",
        warning(filled),
    )  # fmt: skip


def _unread(seen: PoolSeen) -> str:
    """Why a pool shows no figures."""
    if not seen.known:
        sample = seen.sample
        filled = percent(sample.allocation_bytes, sample.capacity_bytes) if sample else None
        return "" if filled is None else gettext("was %(percent)s %%", percent=filled)
    texts = {
        "inactive": gettext("not read while inactive"),
        "building": gettext("not read while building"),
        "inaccessible": gettext("libvirt cannot reach it"),
    }
    return texts.get(seen.fact.state) or gettext("not measured")


def build_pool(drawing: Drawing, slug: str, uuid: str) -> Mapping[str, object]:
    """The context of storage/one.html; raises NotFound."""
    fleet, zone = drawing.fleet, drawing.zone
    seen = find_pool(fleet, slug, uuid)
    host = find_host(fleet, slug)
    ask = asked(drawing, VOLUMES_PAGE, f"/hosts/{slug}/pools/{seen.key}")
    mine = _volumes(fleet, seen)
    basis = None if ask.basis is None else _volumes(ask.basis, seen)
    answer = plain_list(mine, VOLUMES_PAGE, ask.query, basis)
    usage = Usage(fleet, (slug,))
    sample = seen.sample or PoolSample()
    state = seen.fact.state if seen.known else None
    base = f"/hosts/{slug}/pools/{seen.key}"
    asked_for = ask.exported().partition("?")[2]
    return {
        "title": f"{seen.fact.name} on {slug}",
        "slug": slug,
        "pool": seen.fact,
        "known": seen.known,
        "readable": seen.known and seen.sample is not None,
        "what_changed": pool_panel(drawing, seen),
        "row": pool_row(seen, _since(fleet, zone), zone),
        "since": zone.maybe(host.status.unknown_since_ms, fleet.as_of_ms),
        "sentence": host.status.sentence or "",
        "seen_at": zone.when(seen.at_ms, fleet.as_of_ms),
        "refreshed": zone.maybe(sample.refreshed_at_ms, fleet.as_of_ms),
        "facts": pool_facts(seen),
        "left": days_left(drawing, [seen])[seen.host, seen.key],
        "asked": ask,
        "embedded": "&".join(filter(None, (f"host={slug}", f"pool={seen.key}", asked_for))),
        "text": ask.query.text,
        "columns": columns(ask, _VOLUME_COLUMNS),
        "rows": [volume_row(one, usage, drawing.moment.query) for one in answer.found.items],
        "total": answer.found.total,
        "acting": False,
        "acting_rows": drawing.live and drawing.may("admin"),
        "buttons": head("pool", seen.fact, state, base, drawing.may) if drawing.acts else [],
        "menu": menu("pool", seen.fact, state, base, drawing.may) if drawing.acts else [],
        "new_volume": new_things("volume", base, drawing.may) if drawing.live else [],
        "volume_count": len(mine),
        "clear": ask.href(text=""),
        "pager": pager(ask, answer.found.total),
        "charts": panel(
            drawing,
            base,
            Subject("pool", slug, seen.key, seen_ms=seen.at_ms),
            POOL_CHARTS,
        ),
    }


def _volumes(fleet: Fleet, pool: PoolSeen) -> Sequence[VolumeSeen]:
    return [
        volume
        for volume in volumes_of(fleet)
        if volume.host == pool.host and volume.fact.pool_uuid == pool.key
    ]


def pool_facts(seen: PoolSeen) -> list[tuple[str, str, str]]:
    """(label, value, what stands small beside it) of everything that is known of a pool."""
    pool, sample = seen.fact, seen.sample or PoolSample()
    filled = percent(sample.allocation_bytes, sample.capacity_bytes)
    promised = percent(sample.volumes_capacity_bytes, sample.capacity_bytes)
    facts = [
        ("Type", pool.type or UNKNOWN, ""),
        ("Target", pool.target or UNKNOWN, ""),
        ("Source", pool.source or "", ""),
        ("Size", size(sample.capacity_bytes), ""),
        ("Allocated", size(sample.allocation_bytes), "" if filled is None else f"{filled} %"),
        ("Free", size(sample.available_bytes), ""),
        ("Promised to volumes", size(sample.volumes_capacity_bytes),
         "" if promised is None else f"{promised} %"),
        ("Volumes", number(sample.volume_count), ""),
        ("Start with host", switch(pool.autostart), ""),
        ("UUID", pool.uuid, ""),
    ]  # fmt: skip
    return [fact for fact in facts if fact[1]]


_USERS_SHOWN = 3


def volume_row(seen: VolumeSeen, usage: Usage, at: str) -> VolumeRow:
    """One row of the table of volumes."""
    volume = seen.fact
    users = usage.users(seen)
    overlays = usage.overlays(seen)
    allocated = seen.sample.allocation_bytes if seen.sample else None
    filled = percent(allocated, volume.capacity_bytes)
    shown = tuple(
        (f"/hosts/{seen.host}/domains/{user.uuid}{at}", user.name, user.target)
        for user in users[:_USERS_SHOWN]
    )
    unused = not users and not overlays
    return VolumeRow(
        seen.entity_id, volume.name, volume.path or "", volume.damaged or "",
        shown, len(users) - len(shown), _use(seen.known, unused, overlays), unused and seen.known,
        volume.format or volume.type or UNKNOWN,
        seen.known,
        "?" if allocated is None else "" if filled is None else str(min(filled, 100)),
        # A raw volume is allocated whole by nature; only a growing one comes near its end.
        "mem",
        size_of(allocated, volume.capacity_bytes),
    )  # fmt: skip


def _use(known: bool, unused: bool, overlays: int) -> str:
    if overlays:
        return gettext("backing file of %(count)s", count=overlays)
    if unused:
        return gettext("no VM uses it") if known else gettext("not known")
    return ""
