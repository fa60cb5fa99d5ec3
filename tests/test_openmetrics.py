"""The text formats of metrics: what is written can be read, whatever the labels hold.

Planted to see it fail: a quote that is not escaped, a NUL that stays, and a truth that is written
as a word.
"""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import parser as plain_parser
from prometheus_client.openmetrics import parser

from app.web.openmetrics import (
    END,
    Family,
    Lines,
    exposition,
    family_of,
    labels_text,
    with_labels,
)

_TEXTS = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=200)
FAMILIES = [
    family_of(
        "npvirt_x_seconds", "counter", "What\nit is.",
        [(labels_text({"host": 'a"\\\nb'}), 1.5), (labels_text({"host": "unknown"}), None)],
    ),
    family_of("npvirt_on", "gauge", "Whether it is.", [("", True)]),
    family_of("npvirt_nothing", "gauge", "Nothing is known.", [("", None)]),
    family_of("npvirt", "info", "The version.", [(labels_text({"version": "1", "no": None}), 1)]),
]  # fmt: skip


def written(*families: Family, plain: bool = False) -> str:
    return b"".join(exposition(families, plain=plain)).decode()


def test_families_are_written_with_what_is_known_of_them() -> None:
    assert written(*FAMILIES) == (
        "# HELP npvirt_x_seconds What\\nit is.\n# TYPE npvirt_x_seconds counter\n"
        "# UNIT npvirt_x_seconds seconds\n"
        'npvirt_x_seconds_total{host="a\\"\\\\\\nb"} 1.5\n'
        "# HELP npvirt_on Whether it is.\n# TYPE npvirt_on gauge\nnpvirt_on 1\n"
        '# HELP npvirt The version.\n# TYPE npvirt info\nnpvirt_info{version="1"} 1\n'
    )


def test_the_older_format_names_samples_and_knows_neither_units_nor_info() -> None:
    assert written(*FAMILIES, plain=True) == (
        "# HELP npvirt_x_seconds_total What\\nit is.\n# TYPE npvirt_x_seconds_total counter\n"
        'npvirt_x_seconds_total{host="a\\"\\\\\\nb"} 1.5\n'
        "# HELP npvirt_on Whether it is.\n# TYPE npvirt_on gauge\nnpvirt_on 1\n"
        '# HELP npvirt_info The version.\n# TYPE npvirt_info gauge\nnpvirt_info{version="1"} 1\n'
    )


@given(st.dictionaries(st.sampled_from(("host", "domain", "uuid")), _TEXTS, min_size=1))
def test_any_label_is_read_as_it_was(labels: dict[str, str]) -> None:
    family = family_of("x", "gauge", "Help.", [(labels_text(labels), 1)])
    for text, parse in (
        (written(family) + END.decode(), parser.text_string_to_metric_families),
        (written(family, plain=True), plain_parser.text_string_to_metric_families),
    ):
        assert [one.labels for found in parse(text) for one in found.samples] == [labels]


@given(
    st.lists(
        st.tuples(_TEXTS, st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False)),
        max_size=5,
    )
)
def test_families_of_the_same_labels_have_each_their_own_values(
    samples: list[tuple[str, float | None]],
) -> None:
    lines = Lines([labels_text({"domain": text}) for text, _ in samples])
    values = [value for _, value in samples]
    for name, told in (("first", values), ("second", values[::-1])):
        expected = "".join(
            f"{name}{labels_text({'domain': text})} {+value}\n"
            for (text, _), value in zip(samples, told, strict=True)
            if value is not None
        )
        assert lines.of(name, told).decode() == expected


def test_what_no_reader_could_read_is_replaced_and_what_is_long_is_cut() -> None:
    assert labels_text({"a": "x\0y\ud800z"}) == '{a="x�y�z"}'
    assert labels_text({"a": "x" * 201}) == f'{{a="{"x" * 199}…"}}'
    assert labels_text({"a": "x" * 200}) == f'{{a="{"x" * 200}"}}'


def test_labels_are_added_to_labels() -> None:
    assert with_labels('{a="1"}', '{b="2"}') == '{a="1",b="2"}'
    assert with_labels('{a="1"}', "") == '{a="1"}'
    assert with_labels("", '{b="2"}') == '{b="2"}'
