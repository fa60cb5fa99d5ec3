"""Who owns a domain, as its title or description tells, by a pattern that people give. Pure.

The pattern is text with one `{owner}` in it, not a regular expression: those of strangers can take
for ever. "team {owner}" finds "B" in "Ledger (team B)": what stands for the owner ends where the
text after it in the pattern begins or, where there is none, at a comma, a semicolon, a closing
bracket or the line's end. A tag such as "#shop" is "#{owner} ", with a space: it ends with a word.
"""

from app.errors import InvalidField
from app.language import gettext

PLACE = "{owner}"
_MOST = 100
_ENDS = ",;)]}\n"


def checked(pattern: str) -> str:
    """The pattern, if it is one; raises InvalidField."""
    if len(pattern) > _MOST or pattern.count(PLACE) != 1:
        sentence = gettext(
            "Give text with %(place)s in it once, of at most %(count)s characters.",
            place=PLACE, count=_MOST,
        )  # fmt: skip
        raise InvalidField("owner", sentence)
    return pattern


def owner_of(pattern: str, *texts: str | None) -> str | None:
    """The owner in the first of the texts that tells one."""
    before, _, after = pattern.partition(PLACE)
    for text in texts:
        found = None if not text else _within(text, before, after)
        if found:
            return found
    return None


def _within(text: str, before: str, after: str) -> str | None:
    # With an end of its own, so that a word that ends the text ends with a space as well.
    for line in text.splitlines():
        padded = f"{line} "
        start = padded.casefold().find(before.casefold()) if before else 0
        if start < 0:
            continue
        rest = padded[start + len(before) :]
        if after:
            end = rest.casefold().find(after.casefold())
        else:
            end = min((place for one in _ENDS if (place := rest.find(one)) >= 0), default=len(rest))
        owner = rest[:end].strip() if end >= 0 else ""
        if owner:
            return owner[:_MOST]
    return None
