"""Fixtures that tests of more than one feature share."""

pytest_plugins = ["tests.browser_support", "tests.lab.fixtures", "tests.web_support"]
