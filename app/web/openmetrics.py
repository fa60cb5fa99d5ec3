"""The OpenMetrics text format: families of samples to text. Pure.

https://github.com/prometheus/OpenMetrics, version 1.0.0. Values of labels may be anything; what is
unknown is left out, since the format knows no null.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"

Type = Literal["gauge", "counter", "info"]
_SUFFIXES: Mapping[Type, str] = {"gauge": "", "counter": "_total", "info": "_info"}


class Sample(NamedTuple):
    """A value, None where it is unknown, with its labels."""

    value: float | None
    labels: Mapping[str, str] = {}


class Family(NamedTuple):
    """A metric: its name (ending in its unit where it has one, without `_total`), what it tells."""

    name: str
    type: Type
    unit: str
    help: str
    samples: Iterable[Sample]


def exposition(families: Iterable[Family]) -> str:
    """The families as one text; those of which nothing is known are left out."""
    return "".join(f"{line}\n" for family in families for line in _lines(family)) + "# EOF\n"


def _lines(family: Family) -> Iterator[str]:
    samples = [sample for sample in family.samples if sample.value is not None]
    if not samples:
        return
    yield f"# TYPE {family.name} {family.type}"
    if family.unit:
        yield f"# UNIT {family.name} {family.unit}"
    yield f"# HELP {family.name} {_escaped(family.help)}"
    suffix = _SUFFIXES[family.type]
    for sample in samples:
        labels = ",".join(f'{name}="{_escaped(text)}"' for name, text in sample.labels.items())
        named = f"{family.name}{suffix}{{{labels}}}" if labels else f"{family.name}{suffix}"
        yield f"{named} {_number(sample.value or 0)}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))
