"""The chart of one forecast of the capacity review: what was measured, and the bands ahead.

The curves are those of the panel's own chart (app/web/capacity_chart), drawn by embed/chart.html.
"""

from collections.abc import Mapping

from app.capacity.outlook import WHATS, Outlook
from app.capacity.periods import day_text
from app.capacity.words import amount, grows, outlook_name, when_and_on
from app.errors import InvalidField, NotFound
from app.language import gettext
from app.web.capacity_chart import Drawn, drawn
from app.web.drawing import Drawing
from app.web.embed.parameters import only
from app.web.embed.plot import Curve, Gap
from app.web.embed.reviewed import Reviewed, reviewed


def build_forecast(drawing: Drawing) -> Mapping[str, object]:
    """The context of embed/chart.html; raises NotFound and what `reviewed` does."""
    told = reviewed(drawing)
    one = _chosen(drawing, told)
    name, first = outlook_name(one), told.period.from_day
    chart = drawn(one, first, told.day)
    full = gettext("full: %(when)s", when=when_and_on(one, told.at_ms))
    return {
        "page": "/capacity",
        "subject": {"name": name},
        "chart": {"title": gettext("forecast"), "form": "lines"},
        "big": gettext(
            "%(value)s of %(limit)s", value=amount(one, one.value), limit=amount(one, one.limit)
        ),
        "beside": f"{grows(one.what, one.per_day)} · {full}",
        "curves": [] if chart is None else _curves(chart),
        "gaps": [] if chart is None else [Gap(x, width) for x, width in chart.gaps],
        "gaps_say": gettext("not seen"),
        "y_ticks": () if chart is None else chart.y_ticks,
        "x_ticks": () if chart is None else chart.x_ticks,
        "drawn": gettext("from %(day)s on · one point every day", day=day_text(first)),
        "spoken": gettext(
            "%(name)s: %(says)s",
            name=name,
            says=gettext("nothing was measured") if chart is None else chart.spoken,
        ),
    }


def _curves(chart: Drawn) -> list[Curve]:
    """The first is drawn over all others."""
    return [
        Curve(gettext("measured"), "k-mem", "", "", chart.line, chart.area),
        Curve(gettext("forecast"), "k-mem", "dashed", "", chart.likely, ""),
        Curve(gettext("in 50 %% and 80 %% of all cases"), "k-mem", "area", "", "", chart.band_50),
        Curve("", "k-mem", "area", "", "", chart.band_80),
        Curve(gettext("limit"), "k-limit", "limit", "", chart.limit, ""),
    ]


def _chosen(drawing: Drawing, told: Reviewed) -> Outlook:
    """The outlook that `what`, `host` and `id` name: of storage without `id` that of all pools."""
    what = only(drawing.arguments, "what") or "storage"
    if what not in WHATS:
        raise InvalidField(
            "what", gettext("%(name)s is one of: %(words)s.", name="what", words=", ".join(WHATS))
        )
    pool_uuid, host = only(drawing.arguments, "id").lower(), ""
    if what != "storage" or pool_uuid:
        host = only(drawing.arguments, "host")
    for one in told.outlook:
        if (one.what, one.host, one.pool_uuid) == (what, host, pool_uuid):
            return one
    raise NotFound(gettext("There is no such forecast at this moment."))
