"""Vendored files are what VENDOR.md says they are, and nothing else is fetched from anywhere."""

import hashlib
import re
from pathlib import Path

import pytest

STATIC = Path(__file__).parents[1] / "app" / "static"
TEMPLATES = STATIC.parent / "templates"
ROW = re.compile(r"^\| (\S+) \| .* \| .* \| ([0-9a-f]{64}) \|$", re.MULTILINE)


@pytest.mark.parametrize("vendor", [STATIC / "vendor", Path(__file__).parent / "vendor"], ids=str)
def test_every_vendored_file_has_the_hash_that_is_written_down(vendor: Path) -> None:
    written = dict(ROW.findall((vendor / "VENDOR.md").read_text(encoding="utf-8")))
    there = {path.name: path for path in vendor.iterdir() if path.name != "VENDOR.md"}
    assert there.keys() == written.keys()
    for name, path in there.items():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == written[name]


_SHOWN = re.compile(r"\{% call snippet\(.*?\{%-? endcall %\}", re.DOTALL)


def test_templates_hold_no_script_style_or_handler() -> None:
    for path in TEMPLATES.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        # What is shown to be copied into other pages is text, of which nothing is a tag.
        shown = _SHOWN.findall(text)
        assert not any("<" in one for one in shown), path
        text = _SHOWN.sub("", text)
        assert not re.search(r"<script(?![^>]*\ssrc=)", text), path
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|\|\s*safe|javascript:", text), path
        assert not re.search(r"hx-on|=['\"]js:", text), path


def test_nothing_is_asked_of_another_machine() -> None:
    for path in (
        *TEMPLATES.rglob("*.html"),
        *(STATIC / "css").iterdir(),
        *(STATIC / "js").iterdir(),
        *(STATIC / "embed").iterdir(),
    ):
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/", "")
        assert not re.search(r"https?://|//[a-z]+\.[a-z]", text), path


def test_every_icon_that_a_template_names_is_drawn() -> None:
    drawn = set(re.findall(r'<symbol id="([^"]+)"', (STATIC / "icons.svg").read_text("utf-8")))
    for path in TEMPLATES.rglob("*.html"):
        named = re.findall(r'ui\.icon\("([a-z]+)"', path.read_text(encoding="utf-8"))
        assert set(named) <= drawn, path
