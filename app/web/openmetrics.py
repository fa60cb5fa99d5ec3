"""The text formats of metrics: families of samples to text. Pure.

OpenMetrics 1.0.0 (https://github.com/prometheus/OpenMetrics) and Prometheus' older text format
0.0.4, which differs in what it says about a family alone. Values of labels may be anything; what is
unknown is left out, since neither format knows a null.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PLAIN_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# Ends a text in OpenMetrics.
END = "# EOF\n"

Type = Literal["gauge", "counter", "info"]
_SUFFIXES: Mapping[Type, str] = {"gauge": "", "counter": "_total", "info": "_info"}
_UNITS = ("bytes", "seconds")
# A label longer than this is cut, so that no name makes every scrape large.
_LABEL_CHARS = 200
# Readers take a NUL for the end; half of a surrogate pair cannot be encoded.
_UNREADABLE = re.compile("[\0\ud800-\udfff]")


class Family(NamedTuple):
    """A metric: its name (ending in its unit where it has one, without `_total`), what it tells,
    and its samples: labels as `labels_text` writes them, and a value, None where it is unknown.
    """

    name: str
    type: Type
    help: str
    samples: Iterable[tuple[str, float | None]]

    @property
    def unit(self) -> str:
        """Bytes or seconds as the name says; empty for what has none."""
        return unit_of(self.name)


def unit_of(name: str) -> str:
    """The unit in which a family of this name is; empty for what has none."""
    last = name.rpartition("_")[2]
    return last if last in _UNITS else ""


def sample_name(name: str, type_: Type) -> str:
    """What the samples of a family are called."""
    return f"{name}{_SUFFIXES[type_]}"


def labels_text(labels: Mapping[str, str | None]) -> str:
    """Labels as they stand in a sample; those that are unknown are left out."""
    told = _pairs(labels)
    return f"{{{told}}}" if told else ""


def with_labels(text: str, more: str) -> str:
    """Labels as `labels_text` wrote them, and more of them."""
    return f"{text[:-1]},{more[1:]}" if text and more else text or more


def exposition(families: Iterable[Family], *, plain: bool = False) -> str:
    """The families as text, without END; those of which nothing is known are left out. `plain`:
    in the older format.
    """
    return "".join(text for family in families for text in _texts(family, plain=plain))


def _texts(family: Family, *, plain: bool) -> Iterator[str]:
    name = sample_name(family.name, family.type)
    # A plus makes a number of what is true or false.
    lines = [f"{name}{labels} {+value}\n" for labels, value in family.samples if value is not None]
    if not lines:
        return
    told = name if plain else family.name
    type_ = "gauge" if plain and family.type == "info" else family.type
    yield f"# HELP {told} {_escaped(family.help)}\n# TYPE {told} {type_}\n"
    if family.unit and not plain:
        yield f"# UNIT {told} {family.unit}\n"
    yield "".join(lines)


def _pairs(labels: Mapping[str, str | None]) -> str:
    return ",".join(
        [f'{name}="{_written(text)}"' for name, text in labels.items() if text is not None]
    )


def _written(text: str) -> str:
    """The value of a label."""
    if len(text) > _LABEL_CHARS:
        text = f"{text[: _LABEL_CHARS - 1]}…"
    return _escaped(text if text.isprintable() else _UNREADABLE.sub("�", text))


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
