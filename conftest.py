"""Fixtures that tests of more than one feature share, and how the suite is spread."""

import gc

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


# How many objects come into being before it is looked which of them may go (Python: 700).
_GARBAGE = 10_000
# Which tests are long, so that they begin before all others and no process is left with one of them
# at the end.
_LONG = "tests/test_faults.py"
# What takes long to make and is made once per process: tests that use it are kept together.
_DEAR = {
    "demo_data": "demo",
    **dict.fromkeys(("socket_host", "ssh_host", "tls_host", "sasl_host"), "lab-hosts"),
}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have the long ones begin first, then those that are kept together, and what is short in the
    end. What is made for a module, or is dear, is made by one process alone.
    """
    for item in items:
        shared = _shared(item)
        if shared is not None and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(shared))
    items.sort(
        key=lambda item: (
            not item.nodeid.startswith(_LONG),
            item.get_closest_marker("xdist_group") is None,
        )
    )


def _shared(item: pytest.Item) -> str | None:
    """What names the tests that share a fixture with this one; None for one that shares none."""
    if not isinstance(item, pytest.Function):
        return None
    for name, definitions in item._fixtureinfo.name2fixturedefs.items():
        if name in _DEAR:
            return _DEAR[name]
        if definitions[-1].scope == "module":
            return item.path.stem
    return None


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse to go on where pytest-xdist does not keep groups together, as under pytest 9.2: their
    fixtures (whole hosts) would be made once per process, and take each other's time.
    """
    if getattr(session.config.option, "loadgroup", False):
        for item in session.items:
            if item.get_closest_marker("xdist_group") and "@" not in item.nodeid:
                raise pytest.UsageError("pytest-xdist does not keep groups together")
    # What was imported stays: to look at half a million objects again and again for what may go
    # took up to half of the time of a test of a page, which leaves some thousands in cycles.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GARBAGE, 10, 10)
