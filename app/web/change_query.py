"""What a list of changes is asked for: its query parameters, read in one place."""

from collections.abc import Collection, Sequence
from typing import Any
from urllib.parse import urlencode

from msgspec import Struct
from msgspec.structs import replace
from werkzeug.datastructures import MultiDict

from app.errors import InvalidField
from app.language import gettext
from app.store.changes import Wanted
from app.web.change_words import GROUPS, KINDS, WHATS
from app.web.listing import Kind, Query, read_query
from app.web.moment import Moment, moment, typed_moment
from app.web.when import Zone

# The parameters that all lists have: host, q, page, per_page.
_SHARED: Kind[Any] = Kind(texts=lambda seen: (), sorts={"at": lambda seen: None}, default_sort="at")
OWN = frozenset(("kind", "what", "key", "from", "to"))
PARAMETERS = frozenset(("host", "q", "page", "per_page")) | OWN
_KEY_MAX = 400
# Each is looked for in the texts of every change.
_MOST_WORDS = 8


class Asked(Struct, frozen=True):
    """A list that is asked for; `whats` are words and names of groups as they were given."""

    query: Query
    kinds: tuple[str, ...] = ()
    whats: tuple[str, ...] = ()
    key: str = ""
    from_text: str = ""
    to_text: str = ""
    from_ms: int | None = None
    until_ms: int | None = None

    @property
    def narrows(self) -> bool:
        """Whether any filter or search is set."""
        return bool(
            self.query.hosts or self.query.text or self.kinds or self.whats or self.key
            or self.from_text or self.to_text
        )  # fmt: skip

    def wanted(self, host_ids: frozenset[int] | None, as_of_ms: int | None) -> Wanted:
        """The same as the store takes it."""
        words = frozenset[str]().union(
            *(GROUPS[what][1] if what in GROUPS else {what} for what in self.whats)
        )
        return Wanted(
            host_ids=host_ids,
            hosts=self.query.hosts,
            kinds=self.kinds,
            whats=tuple(sorted(words)),
            key=self.key,
            text=self.query.text,
            from_ms=self.from_ms,
            until_ms=self.until_ms,
            as_of_ms=as_of_ms,
        )

    def href(self, path: str, at: Moment, **changed: Any) -> str:
        """The address of this list at `path` with some of it changed, from its first page."""
        page = changed.pop("page", 1)
        asked = replace(self, **changed)
        query = asked.query
        pairs = [("host", slug) for slug in query.hosts]
        pairs += [("kind", kind) for kind in asked.kinds]
        pairs += [("what", what) for what in asked.whats]
        given = (("key", asked.key), ("q", query.text), ("from", asked.from_text),
                 ("to", asked.to_text), ("page", str(page) if page != 1 else ""),
                 ("per_page", str(query.per_page) if query.per_page != 100 else ""),
                 ("at", at.text))  # fmt: skip
        pairs += [(name, value) for name, value in given if value]
        return f"{path}?{urlencode(pairs)}" if pairs else path

    def toggled(self, what: str) -> tuple[str, ...]:
        """`whats` with `what` chosen, or no longer chosen."""
        kept = tuple(one for one in self.whats if one != what)
        return kept if what in self.whats else (*kept, what)


NOTHING = Asked(Query(sort="at"))


def read_asked(
    arguments: MultiDict[str, str],
    hosts: Collection[str],
    zone: Zone,
    now_ms: int,
    *,
    strict: bool = False,
) -> Asked:
    """The list that `arguments` spell; raises InvalidField. An empty value means "not given",
    as forms send it, unless `strict`.
    """
    shared: MultiDict[str, str] = MultiDict(
        (name, value) for name, value in arguments.items(multi=True) if name not in OWN
    )
    if "sort" in shared:
        raise InvalidField("sort", gettext("Changes are listed newest first."))
    query = read_query(shared, _SHARED, hosts, strict=strict)
    if len(set(query.text.split())) > _MOST_WORDS:
        raise InvalidField(
            "q", gettext("A search of changes has at most %(count)s words.", count=_MOST_WORDS)
        )
    key = _one(arguments, "key")
    if len(key) > _KEY_MAX:
        raise InvalidField(
            "key", gettext("A key is at most %(count)s characters long.", count=_KEY_MAX)
        )
    from_text, to_text = _one(arguments, "from"), _one(arguments, "to")
    return Asked(
        query,
        kinds=_words(arguments, "kind", tuple(KINDS), strict=strict),
        whats=_words(arguments, "what", (*GROUPS, *WHATS), strict=strict),
        key=key,
        from_text=from_text,
        to_text=to_text,
        from_ms=_time("from", from_text, zone, now_ms),
        until_ms=_time("to", to_text, zone, now_ms),
    )


def _words(
    arguments: MultiDict[str, str], name: str, allowed: Sequence[str], *, strict: bool
) -> tuple[str, ...]:
    given = {value for value in arguments.getlist(name) if value or strict}
    if not given.issubset(allowed):
        raise InvalidField(
            name,
            gettext("“%(name)s” is one of: %(words)s.", name=name, words=", ".join(allowed)),
        )
    return tuple(word for word in allowed if word in given)


def _one(arguments: MultiDict[str, str], name: str) -> str:
    values = [value for value in arguments.getlist(name) if value]
    if len(values) > 1:
        raise InvalidField(name, gettext("%(name)s can be given once only.", name=name))
    return values[0].strip() if values else ""


def _time(name: str, text: str, zone: Zone, now_ms: int) -> int | None:
    if not text:
        return None
    try:
        # Scripts may give epoch seconds, as for `at`.
        if text.isdigit() and text.isascii():
            return moment({"at": text}, now_ms).at_ms
        return typed_moment(text, zone, now_ms).at_ms
    except InvalidField as error:
        raise InvalidField(name, error.sentence) from None
