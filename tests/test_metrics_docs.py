"""What docs/metrics.md says of the metrics is what the tables declare, all of it.

Planted to see it fail: a metric that the docs lack, and one that they name with another type.
"""

from collections.abc import Iterator
from pathlib import Path

from app.web.fleet_metrics import FLEET_METRICS
from app.web.openmetrics import sample_name
from app.web.own_metrics import (
    HOST_METRICS,
    OWN_METRICS,
    TARGET_METRICS,
    VERSION,
    HostMetric,
    OwnMetric,
    TargetMetric,
)

_DOCS = Path(__file__).parents[1] / "docs" / "metrics.md"


def rows() -> Iterator[str]:
    """The rows of the tables, in the order of the declarations."""
    for one in FLEET_METRICS:
        yield f"| `{sample_name(one.name, one.type)}` | {one.type} | {one.help} | {one.source} |"
    yield f"| `{sample_name(VERSION[0], 'info')}` | info | {VERSION[1]} |"
    own: tuple[OwnMetric | HostMetric | TargetMetric, ...] = (
        *OWN_METRICS, *HOST_METRICS, *TARGET_METRICS,
    )  # fmt: skip
    for metric in own:
        yield f"| `{sample_name(metric.name, metric.type)}` | {metric.type} | {metric.help} |"


def test_the_docs_name_every_metric_as_the_tables_have_it() -> None:
    told = [
        line for line in _DOCS.read_text(encoding="utf-8").splitlines() if line.startswith("| `")
    ]
    assert told == list(rows())
