"""Of every table and chart that the panel draws it is decided, and documented, whether it can be
embedded: a new one needs a row in docs/embed.md, and the view that it names.
"""

import re
from pathlib import Path

from app.web.embed.views import VIEWS

_TOP = Path(__file__).parents[1]
_TEMPLATES = _TOP / "app" / "templates"
# What the documentation calls the page, by template or by the folder of it.
_PAGES = {
    "charts/panel.html": "all with charts", "charts/table.html": "Values over time",
    "overview": "Overview", "hosts/table.html": "Hosts", "hosts": "Host",
    "domains/table.html": "VMs", "domains": "VM", "storage/list.html": "Storage",
    "storage": "Pool", "networks": "Networks", "capacity/part.html": "Capacity review",
    "capacity/comparison.html": "Capacity review", "capacity": "Capacity reports",
    "health": "Health", "changes": "Change", "travel": "Two moments compared", "audit": "Audit",
    "account": "Accounts", "embed_tokens": "Embeds", "notifications": "Notifications",
    "store.html": "Store", "help.html": "Help", "reference.html": "Help",
}  # fmt: skip
# Those whose caption is not in the template, or is made by it.
_CALLED = {
    ("overview/part.html", ""): "Pools, fullest first",
    ("capacity/report.html", ""): "When storage is full",
    ("reference.html", ""): "Fields",
    ("charts/table.html", "Values of"): "Values",
    ("travel/compare.html", ""): "What differs",
}
_TABLE = re.compile(r"<table\b[^>]*>\s*(?:<caption[^>]*>(.*?)</caption>)?", re.DOTALL)
_FIGURE = re.compile(r'<figure class="chart\b')


def _plain(caption: str) -> str:
    """The words of a caption before what is put into it."""
    words = re.sub(r'\{\{ *_\("(.*?)"\) *\}\}|\{%-? *trans\b.*?%\}', r"\1", caption)
    return re.split("[<{]", words)[0].strip(" ,")


def _drawn() -> set[tuple[str, str]]:
    """The tables and charts of all templates: page and caption."""
    found = set()
    for path in _TEMPLATES.rglob("*.html"):
        name = path.relative_to(_TEMPLATES).as_posix()
        if name.startswith("embed/"):
            continue
        text = path.read_text(encoding="utf-8")
        captions = [_plain(caption) for caption in _TABLE.findall(text)]
        if _FIGURE.search(text):
            captions.append("Forecast" if name == "capacity/part.html" else "Charts")
        page = _PAGES.get(name) or _PAGES.get(name.partition("/")[0], name)
        found |= {(page, _CALLED.get((name, caption), caption)) for caption in captions}
    return found


def _decided() -> dict[tuple[str, str], str]:
    """What is documented: by page and caption the view, or why there is none."""
    text = (_TOP / "docs" / "embed.md").read_text(encoding="utf-8")
    part = text.partition("### What can be embedded")[2].partition("###")[0]
    rows = [line.strip("|").split("|") for line in part.splitlines() if line.startswith("| ")]
    return {
        (page.strip(), caption.strip()): decision.strip()
        for page, captions, decision in rows[1:]
        for caption in captions.split("·")
    }


def test_every_table_and_chart_is_embeddable_or_it_is_said_why_not() -> None:
    drawn, decided = _drawn(), _decided()
    assert len(drawn) > 40
    assert drawn == set(decided)


def test_what_is_named_there_is_a_view_that_the_panel_offers() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in _TEMPLATES.rglob("*.html"))
    offered = set(re.findall(r'ui\.embed\("([\w-]+)"', text))
    assert offered == set(VIEWS)
    named = {word for decision in _decided().values() for word in re.findall("`([^`]+)`", decision)}
    assert named - {"at", "/metrics"} <= set(VIEWS)
