"""Fixtures that tests of more than one feature share."""

# In the order in which they import each other: pytest rewrites a module before it is imported.
pytest_plugins = [
    "tests.browser_support",
    "tests.lab.fixtures",
    "tests.web_support",
    "tests.fleet_support",
]
