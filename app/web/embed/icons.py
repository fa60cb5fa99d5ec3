"""The panel's icons as they stand within a fragment: another site's page cannot use the sprite."""

import re
from collections.abc import Mapping
from pathlib import Path

from markupsafe import Markup

_SYMBOL = re.compile(r'<symbol id="(\w+)" viewBox="0 0 16 16">(.*?)</symbol>')


def icons(folder: Path) -> Mapping[str, Markup]:
    """What each icon of the static files in `folder` is drawn of, by name."""
    text = (folder / "icons.svg").read_text(encoding="utf-8")
    # A file of npvirt's own.
    return {name: Markup(drawn) for name, drawn in _SYMBOL.findall(text)}  # noqa: S704 (see above)
