"""The page that tells what programs can ask for: all that the OpenAPI document tells."""

import re
from html import escape

from app.web.openapi import document
from app.web.reference import groups, shapes, type_of
from tests.web_support import Web


def test_the_page_tells_of_every_operation_and_shape_with_an_example(web: Web) -> None:
    web.sign_in("vera", "viewer")
    page, told = web.text("/help/api"), document(web.app)
    entries = [entry for group in groups(told) for entry in group.entries]
    assert len(entries) == sum(len(methods) for methods in told["paths"].values())
    for entry in entries:
        assert f'<code class="path">{escape(entry.path)}</code>' in page
        assert str(escape(entry.curl)).replace("&#x27;", "&#39;").replace("&quot;", "&#34;") in page
    for shape in shapes(told):
        assert f'id="shape-{shape.name}"' in page
    assert 'href="/help/api"' in web.text("/help")


def test_every_link_of_the_page_leads_somewhere(web: Web) -> None:
    page = web.text("/help/api")
    wanted = set(re.findall(r'href="#([^"]+)"', page))
    assert len(wanted) > 50
    assert wanted <= {*re.findall(r'id="([^"]+)"', page)}


def test_an_example_is_a_whole_command(web: Web) -> None:
    of = {one.id: one for group in groups(document(web.app)) for one in group.entries}
    assert of["suspend"].curl == (
        "curl -X POST -H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/json' "
        '-d \'{"expect_state":"running"}\' '
        '"$NPVIRT/api/v1/hosts/$HOST/domains/$KEY/actions/suspend"'
    )
    assert of["get-stack"].curl.endswith('/series/stack?host=$HOST&metric=cpu"')
    assert "--data-binary @FILE" in of["vol-upload"].curl


def test_types_are_told_in_words() -> None:
    assert type_of({"anyOf": [{"type": "null"}, {"type": "integer"}]}).text == "integer or null"
    assert type_of({"type": "array", "items": {"$ref": "#/components/schemas/Disk"}}) == (
        "list of Disk", "Disk",
    )  # fmt: skip
    assert type_of({"enum": ["a", None]}).text == "a | null"
    assert type_of({"type": "integer", "minimum": 1, "maximum": 9}).text == "integer, 1 to 9"
