"""Fixtures that tests of more than one feature share, and how the suite is spread."""

import pytest
from hypothesis import HealthCheck, settings

# How long something takes is no reason to fail: speed is for the benchmarks.
settings.register_profile(
    "untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("untimed")

# In the order in which they import each other: pytest rewrites a module before it is imported.
pytest_plugins = [
    "tests.browser_support",
    "tests.lab.fixtures",
    "tests.web_support",
    "tests.fleet_support",
    "tests.demo_support",
]


# Which tests are long, so that they begin before all others and no process is left with one of them
# at the end.
_LONG = "tests/test_faults.py"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have the long ones begin first."""
    items.sort(key=lambda item: not item.nodeid.startswith(_LONG))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse to go on where pytest-xdist does not keep groups together, as under pytest 9.2: their
    fixtures (whole hosts) would be made once per process, and take each other's time.
    """
    if getattr(session.config.option, "loadgroup", False):
        for item in session.items:
            if item.get_closest_marker("xdist_group") and "@" not in item.nodeid:
                raise pytest.UsageError("pytest-xdist does not keep groups together")
