"""The list of domains across hosts, and one domain, looked up by its UUID or by a few words."""

from collections.abc import Sequence
from typing import Any

from flask import Blueprint, Response, redirect, request

from app import clock
from app.actions.registry import BY_NAME
from app.web.acting import BULK
from app.web.api.lists import answer_named
from app.web.charts import PARAMETERS
from app.web.domain_page import build_domain
from app.web.domain_rows import domain_rows
from app.web.finding import find_domain, look_up_domain
from app.web.format import listed
from app.web.kinds import DOMAINS, DomainSeen, domain_list
from app.web.list_page import (
    Asked,
    asked,
    columns,
    host_choices,
    pager,
    parameters,
    placed,
    state_choices,
    unknown_hosts,
)
from app.web.listing import Counts
from app.web.moment import moment
from app.web.page import Drawing, View, draw
from app.web.permission import needs
from app.web.scope import seen_fleet
from app.web.since import list_since, object_since
from app.web.spark_rows import Sparks
from app.web.words import DOMAIN_LOOKS

blueprint = Blueprint("domains", __name__)

LIST = View("domains/list.html", "domains", parameters(DOMAINS))
ONE = View("domains/one.html", "domains", PARAMETERS)

# group of flags -> label, and how each of its flags is called
_GROUPS = (
    ("Activity", (("active", "active"), ("inactive", "inactive"))),
    ("State", (("running", "running"), ("paused", "paused"), ("shutoff", "shut off"),
               ("other", "other"))),
    ("Kept", (("persistent", "persistent"), ("transient", "transient"))),
    ("Managed save", (("managed-save", "has"), ("no-managed-save", "none"))),
    ("Autostart", (("autostart", "on"), ("no-autostart", "off"))),
    ("Snapshots", (("snapshot", "has"), ("no-snapshot", "none"))),
    ("Checkpoints", (("checkpoint", "has"), ("no-checkpoint", "none"))),
)  # fmt: skip
_COLUMNS = (
    ("Name", "", "name", ""),
    ("State", "", "state", ""),
    ("Host", "p2", "host", ""),
    ("vCPU", "num p2", "vcpus", ""),
    ("Memory used / assigned", "p2", "memory", ""),
    ("CPU, 24 h", "p4", "", ""),
    ("CPU", "p3", "cpu", ""),
    ("Disk r / w", "num p4", "disk", "MB/s"),
    ("Net rx / tx", "num p4", "net", "MB/s"),
    ("Console", "p4", "", ""),
)
_PAST_COLUMNS = (*_COLUMNS[:-2], ("Since then", "", "", ""))


@blueprint.get("/domains")
@blueprint.get("/ui/domains")
@blueprint.get("/ui/since/domains")
@needs("viewer")
def domains() -> Response:
    """The list of domains, its part, or all of it as CSV."""
    if "format" in request.args:
        return answer_named("domains")
    return placed(draw(LIST, build_list, SINCE), "/domains")


@blueprint.get("/hosts/<slug>/domains/<uuid>")
@blueprint.get("/ui/hosts/<slug>/domains/<uuid>")
@blueprint.get("/ui/since/hosts/<slug>/domains/<uuid>")
@needs("viewer")
def domain(slug: str, uuid: str) -> Response:
    """One domain, or its part."""
    since = object_since("domain", lambda drawing: find_domain(drawing.fleet, slug, uuid))
    answer = draw(ONE, lambda drawing: build_domain(drawing, slug, uuid), since)
    return placed(answer, f"/hosts/{slug}/domains/{uuid}")


@blueprint.get("/hosts/<slug>/domains")
@needs("viewer")
def look_up(slug: str) -> Response:
    """The page of the domain of this host whose id, name or UUID is `q`; without it, all."""
    at = moment(request.args, clock.now_ms())
    wanted = request.args.get("q", "").strip()
    if not wanted:
        return _go(f"/domains?host={slug}{at.also}")
    seen = look_up_domain(seen_fleet(at.at_ms), slug, wanted)
    return _go(f"/hosts/{seen.host}/domains/{seen.key}{at.query}")


def _go(address: str) -> Response:
    return redirect(address, 302)  # type: ignore[return-value]  # werkzeug's own Response class


def on_page(drawing: Drawing) -> Sequence[DomainSeen]:
    """The domains that the page shows."""
    ask = asked(drawing, DOMAINS, "/domains")
    found: Sequence[DomainSeen] = domain_list(drawing.fleet, ask.query, ask.basis)[0].items
    return found


SINCE = list_since("domain", on_page)


def build_list(drawing: Drawing) -> dict[str, object]:
    """The context of domains/list.html."""
    seen = drawing.fleet
    ask = asked(drawing, DOMAINS, "/domains")
    query = ask.query
    found, counts = domain_list(seen, query, ask.basis)
    silent = unknown_hosts(seen, query.host)
    words = {state: look.word for state, look in DOMAIN_LOOKS.items()}
    return {
        "title": "Virtual machines",
        "asked": ask,
        "text": query.text,
        "flags": query.flags,
        "narrowed": _narrowed(ask),
        "hosts": host_choices(seen, query.host),
        "states": state_choices(words, query.state),
        "groups": _groups(ask, counts),
        "summary": _summary(counts),
        "unknown": counts["unknown"],
        "silent": listed(silent, 2),
        "silent_count": len(silent),
        "columns": columns(ask, _COLUMNS if drawing.live else _PAST_COLUMNS),
        "rows": domain_rows(found.items, seen, drawing.zone, Sparks(seen).domain),
        "total": found.total,
        "total_everywhere": len(seen.domains),
        "has_hosts": bool(seen.hosts),
        "pager": pager(ask, found.total),
        "clear": ask.href(hosts=(), states=(), flags=(), text=""),
        "csv": _csv(ask),
        "acting": drawing.acts,
        # In the past they stand there too, and say that they are off.
        "acting_rows": drawing.may("operator"),
        "bulk": [BY_NAME["domain", name] for name in BULK],
    }


def _groups(ask: Asked, counts: Counts) -> list[tuple[str, list[tuple[Any, ...]]]]:
    """Per group of flags: its label, and per flag its word, count, address and whether chosen."""
    chosen = set(ask.query.flags)
    return [
        (
            label,
            [
                (flag, word, counts[flag], ask.href(flags=ask.query.toggled(flag).flags),
                 flag in chosen)
                for flag, word in flags
            ],
        )
        for label, flags in _GROUPS
    ]  # fmt: skip


def _summary(counts: Counts) -> str:
    words = (
        ("running", "running"), ("shutoff", "shut off"), ("paused", "paused"), ("other", "other"),
        ("unknown", "unknown"),
    )  # fmt: skip
    return " · ".join(f"{counts[flag]} {word}" for flag, word in words if counts[flag])


def _narrowed(ask: Asked) -> list[str]:
    """What the list is narrowed by, for saying that nothing matches it."""
    query = ask.query
    words = {flag: f"{label.lower()}: {word}" for label, flags in _GROUPS for flag, word in flags}
    found = [f"host {query.host}"] if query.host else []
    found += [f"state {DOMAIN_LOOKS[query.state].word.lower()}"] if query.state else []
    found += [words[flag] for flag in query.flags]
    return found + ([f"“{query.text}”"] if query.text else [])


def _csv(ask: Asked) -> str:
    href = ask.exported(per_page=100).replace("/domains", "/api/v1/domains", 1)
    return f"{href}{'&' if '?' in href else '?'}format=csv"
