"""What is said of an embed before it is pasted into another page: which of its snippets will not
work there, and why. Pure.
"""

import ipaddress
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

_LOCAL = frozenset(("localhost", "127.0.0.1", "::1"))


class Trouble(NamedTuple):
    """Why the element and the fragments, and why the frame, work nowhere; "" where they do."""

    element: str
    frame: str


def trouble(origins: Sequence[str], *, frame: bool) -> Trouble:
    """What keeps whole kinds of snippets from working."""
    nobody = "No page may show it: no origin was given." if not origins else ""
    return Trouble(nobody, nobody or ("" if frame else "The token is not for frames."))


def warnings(base: str, origins: Sequence[str], *, is_set: bool) -> list[str]:
    """What to know of npvirt at `base` being shown on pages of `origins`, as sentences. `is_set`:
    NPVIRT_PUBLIC_URL says where npvirt is; else `base` is merely how the asker reached it.
    """
    found = []
    if _is_local(base):
        found.append(
            f"{base} is this machine alone: browsers on others look for npvirt on themselves. "
            "Set NPVIRT_PUBLIC_URL to the address under which they reach it."
        )
    elif not is_set:
        found.append(
            f"NPVIRT_PUBLIC_URL is not set, so the lines below carry {base}, the address that you "
            "use now. Others may need another one."
        )
    secure = [origin for origin in origins if origin.startswith("https:")]
    if secure and base.startswith("http:") and not _is_local(base):
        found.append(
            f"Pages of {_listed(secure)} are HTTPS and npvirt is not: browsers load nothing from "
            "it there (mixed content). Put npvirt behind TLS and set NPVIRT_PUBLIC_URL to its "
            "https address."
        )
    return found


def _is_local(address: str) -> bool:
    host = urlsplit(address).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in _LOCAL or host.endswith(".localhost")


def _listed(texts: Sequence[str]) -> str:
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"
