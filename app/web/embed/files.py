"""The files that other pages load from npvirt: the element's script, the stylesheet, the script of
frames; and the stylesheet of a frame's own colours. The same for everybody.
"""

from functools import cache
from pathlib import Path

from flask import Response, current_app, request

from app.errors import NotFound
from app.web.embed import blueprint
from app.web.embed.parameters import FONTS, read_look
from app.web.embed.sending import Drawn, pack, send
from app.web.permission import open_to_all

_TYPES = {
    "npvirt.js": "text/javascript",
    "npvirt.css": "text/css",
    "frame.js": "text/javascript",
}
_YEAR = "public, max-age=31536000, immutable"
_HOUR = "public, max-age=3600"


def asset_address(name: str) -> str:
    """The address of a file, carrying its digest so that browsers may keep it."""
    return f"/embed/{name}?v={_file(current_app.static_folder or '', name).etag[:10]}"


@blueprint.get("/embed/<name>")
@open_to_all
def file(name: str) -> Response:
    """A file, for pages of every site."""
    if name not in _TYPES:
        raise NotFound(f"There is no {name[:40]} to embed.")
    kept = _file(current_app.static_folder or "", name)
    response = send(kept, request)
    same = request.args.get("v") == kept.etag[:10]
    return _for_all(response, _YEAR if same else _HOUR)


@blueprint.get("/embed/theme.css")
@open_to_all
def theme() -> Response:
    """The colours and the font that a frame is given, checked, as custom properties."""
    look = read_look(request.args)
    lines = [f"--npv-{name}:#{value}" for name, value in look.colours]
    if look.font:
        lines.append(f"--npv-font:{FONTS[look.font]}")
    sheet = f":root{{{';'.join(lines)}}}\n"
    return _for_all(send(pack(sheet.encode(), "text/css"), request), _YEAR)


def _for_all(response: Response, kept: str) -> Response:
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    response.headers["Cache-Control"] = kept
    return response


@cache
def _file(folder: str, name: str) -> Drawn:
    return pack((Path(folder) / "embed" / name).read_bytes(), _TYPES[name])
