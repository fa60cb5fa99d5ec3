"""The text formats of metrics: families of samples to text. Pure.

OpenMetrics 1.0.0 (https://github.com/prometheus/OpenMetrics) and Prometheus' older text format
0.0.4, which differs in what it says about a family alone. Values of labels may be anything; what is
unknown is left out, since neither format knows a null.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import compress
from operator import pos
from typing import Literal, NamedTuple

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PLAIN_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# Ends a text in OpenMetrics.
END = b"# EOF\n"

Type = Literal["gauge", "counter", "info"]
_SUFFIXES: Mapping[Type, str] = {"gauge": "", "counter": "_total", "info": "_info"}
_UNITS = ("bytes", "seconds")
# A label longer than this is cut, so that no name makes every scrape large.
_LABEL_CHARS = 200
# Readers take a NUL for the end; half of a surrogate pair cannot be encoded.
_UNREADABLE = re.compile("[\0\ud800-\udfff]")


class Lines:
    """The lines of families that have the same labels, as `labels_text` writes them: all but their
    names and values. As bytes, since one name that is not ASCII makes a text of some megabytes
    slow.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self._labels = labels

    @cached_property
    def _written(self) -> list[bytes]:
        # No label has a line break in it.
        return " \n".join((*self._labels, "")).encode().split(b"\n")[:-1]

    def of(self, name: str, values: Sequence[float | None]) -> bytes:
        """The samples of a family with a value for each of the labels; those that are unknown are
        left out.
        """
        labels: Sequence[bytes] = self._written
        known: Sequence[float] = [value for value in values if value is not None]
        if len(known) < len(labels):
            labels = [*compress(labels, (value is not None for value in values))]
        if not labels:
            return b""
        # A plus makes a number of what is true or false.
        numbers = "\n".join(map(str, map(pos, known))).encode().split(b"\n")
        pieces = [f"\n{name}".encode(), b"", b""] * len(labels)
        pieces[1::3], pieces[2::3] = labels, numbers
        pieces[0] = name.encode()
        return b"".join((*pieces, b"\n"))


class Family(NamedTuple):
    """A metric: its name (ending in its unit where it has one, without `_total`), what it tells,
    and its samples: a value for each of the labels of `lines`, None where it is unknown.
    """

    name: str
    type: Type
    help: str
    lines: Lines
    values: Sequence[float | None]

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


def family_of(
    name: str, type_: Type, help_: str, samples: Iterable[tuple[str, float | None]]
) -> Family:
    """A family of samples, each with its labels as `labels_text` writes them."""
    pairs = [*samples]
    return Family(name, type_, help_, Lines([labels for labels, _ in pairs]), [v for _, v in pairs])


def exposition(families: Iterable[Family], *, plain: bool = False) -> Iterator[bytes]:
    """The families as text in pieces, without END; those of which nothing is known are left out.
    `plain`: in the older format.
    """
    for family in families:
        name = sample_name(family.name, family.type)
        lines = family.lines.of(name, family.values)
        if not lines:
            continue
        told = name if plain else family.name
        type_ = "gauge" if plain and family.type == "info" else family.type
        unit = f"# UNIT {told} {family.unit}\n" if family.unit and not plain else ""
        head = f"# HELP {told} {_escaped(family.help)}\n# TYPE {told} {type_}\n{unit}"
        yield head.encode() + lines


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
