"""What can be done, as the panel and the README tell it: from the registry, all of it."""

from html import escape
from pathlib import Path

from app.actions.registry import ACTIONS
from app.web.help_page import lines, readme_table
from tests.web_support import Web

_README = Path(__file__).parents[1] / "README.md"


def test_the_readme_lists_every_action_as_the_registry_has_it() -> None:
    assert readme_table() in _README.read_text(encoding="utf-8")
    assert len(readme_table().splitlines()) == 2 + len(ACTIONS)


def test_the_help_page_shows_every_action_with_its_address_and_parameters(web: Web) -> None:
    web.sign_in("vera", "viewer")
    page = web.text("/help")
    for line in lines():
        assert escape(line.address) in page
        assert escape(line.says) in page
        assert escape(line.parameters) in page
