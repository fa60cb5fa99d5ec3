"""Lists: what a query string asks of one, which objects that leaves, their order and their counts.

Pure. app/web/kinds.py declares what the list of each kind is searched by and sorted by; pages,
JSON and CSV all go through `read_query` and `select`. An object of a host that does not answer
has no state and no flag, so a filter by either leaves it out, and the count "unknown" says so.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Generic, NamedTuple, TypeVar
from urllib.parse import urlencode

from msgspec import Struct, field
from msgspec.structs import replace
from werkzeug.datastructures import MultiDict

from app.connection import check_slug
from app.errors import InvalidField
from app.language import gettext

T = TypeVar("T")

PER_PAGE = 100
MOST_PER_PAGE = 1000
MOST_PAGES = 1_000_000
MOST_SEARCH = 200
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")
# Eighteen digits at most, because int() refuses very long ones.
_DIGITS = re.compile(r"([0-9]{1,18})")
_NO_FLAGS: frozenset[str] = frozenset()

Counts = dict[str, int]
# (host, key) -> the object whose values make the order
Basis = Mapping[tuple[str, str], Any]


class Query(Struct, frozen=True):
    """What is asked of a list: filters (empty is "any"), text to search for, order and page.
    `sort` is a key, with "-" in front for the largest first.
    """

    hosts: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    text: str = ""
    sort: str = "name"
    page: int = 1
    per_page: int = PER_PAGE

    @property
    def host(self) -> str:
        """The first host asked for, or ""."""
        return self.hosts[0] if self.hosts else ""

    @property
    def state(self) -> str:
        """The first state asked for, or ""."""
        return self.states[0] if self.states else ""

    @property
    def narrows(self) -> bool:
        """Whether any filter or search is set."""
        return bool(self.hosts or self.states or self.flags or self.text)

    @property
    def sort_key(self) -> str:
        """What to sort by, without the direction."""
        return self.sort.removeprefix("-")

    @property
    def descending(self) -> bool:
        """Whether the largest comes first."""
        return self.sort.startswith("-")

    def toggled(self, flag: str) -> "Query":
        """This query with `flag` chosen, or no longer chosen; from its first page."""
        kept = tuple(word for word in self.flags if word != flag)
        return replace(self, flags=kept if flag in self.flags else (*kept, flag), page=1)


class Kind(Struct, Generic[T], frozen=True):
    """What a list of one kind offers. Its objects have `host`, `key`, `fact` and `known`, as Seen
    has. `texts` is what the search looks through, `sorts` gives a value or None (unknown) by
    sort key; `states` are the words of `fact.state`, if it has one.
    """

    texts: Callable[[T], Iterable[str | None]]
    sorts: Mapping[str, Callable[[T], Any]]
    states: tuple[str, ...] = ()
    flag_groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    flags: Callable[[T], frozenset[str]] = lambda seen: _NO_FLAGS
    default_sort: str = "name"

    @property
    def parameters(self) -> frozenset[str]:
        """The query parameters that the list takes."""
        names = {"host", "q", "sort", "page", "per_page"}
        names |= {"state"} if self.states else set()
        return frozenset(names | ({"flag"} if self.flag_groups else set()))

    @property
    def all_flags(self) -> tuple[str, ...]:
        """Its flags, group by group."""
        return tuple(flag for flags in self.flag_groups.values() for flag in flags)


class Found(NamedTuple):
    """One page of a list of `total` objects."""

    items: list[Any]
    total: int


class Answer(NamedTuple):
    """One page of a list, and per flag, per state and for "unknown" how many objects there are.
    A count leaves out what its own filter does: it is how many there would be with that one.
    """

    found: Found
    counts: Counts


# --- asking ----------------------------------------------------------------------------------


def read_query(
    arguments: MultiDict[str, str], kind: Kind[Any], hosts: Collection[str], *, strict: bool = False
) -> Query:
    """The query that `arguments` spell for a list of `kind`; `hosts` are those that may be named.

    Raises InvalidField naming the parameter that is unknown or bad. An empty value means "not
    given", as forms send it, unless `strict`. `at` and `format` are read by others.
    """
    for name in arguments:
        if name not in kind.parameters and name not in ("at", "format", "have"):
            raise InvalidField(
                name[:40],
                gettext("This list takes no parameter “%(name)s”.", name=name[:40]),
            )
    values = _Values(arguments, strict=strict)
    return Query(
        hosts=values.hosts(hosts),
        states=values.words("state", kind.states),
        flags=values.words("flag", kind.all_flags),
        text=values.search(),
        sort=values.sort(kind),
        page=values.number("page", 1, MOST_PAGES),
        per_page=values.number("per_page", PER_PAGE, MOST_PER_PAGE),
    )


class _Values:
    """Reads the values of the parameters that lists share."""

    def __init__(self, arguments: MultiDict[str, str], *, strict: bool) -> None:
        self._values = {
            name: [value for value in values if value or (strict and name != "q")]
            for name, values in arguments.lists()
        }

    def hosts(self, known: Collection[str]) -> tuple[str, ...]:
        slugs = tuple(dict.fromkeys(self._values.get("host", ())))
        for slug in slugs:
            check_slug(slug, "host")
            if slug not in known:
                raise InvalidField("host", gettext("There is no host named %(host)s.", host=slug))
        return slugs

    def words(self, name: str, allowed: Sequence[str]) -> tuple[str, ...]:
        """The words given for `name`, in the order in which they are declared."""
        given = frozenset(self._values.get(name, ()))
        if not given.issubset(allowed):
            raise InvalidField(
                name,
                gettext("A %(name)s is one of: %(words)s.", name=name, words=", ".join(allowed)),
            )
        return tuple(word for word in allowed if word in given)

    def search(self) -> str:
        text = (self._one("q") or "").strip()
        if len(text) > MOST_SEARCH:
            raise InvalidField(
                "q", gettext("A search is at most %(count)s characters long.", count=MOST_SEARCH)
            )
        return text

    def sort(self, kind: Kind[Any]) -> str:
        text = self._one("sort")
        if text is None:
            return kind.default_sort
        if text.removeprefix("-") not in kind.sorts:
            raise InvalidField(
                "sort",
                gettext(
                    "Sort by one of: %(words)s; “-” in front sorts downwards.",
                    words=", ".join(kind.sorts),
                ),
            )
        return text

    def number(self, name: str, default: int, most: int) -> int:
        text = self._one(name)
        if text is None:
            return default
        if not _NUMBER.fullmatch(text) or int(text) > most:
            raise InvalidField(
                name,
                gettext("%(name)s is a whole number from 1 to %(most)s.", name=name, most=most),
            )
        return int(text)

    def _one(self, name: str) -> str | None:
        values = self._values.get(name, ())
        if len(values) > 1:
            raise InvalidField(name, gettext("%(name)s can be given once only.", name=name))
        return values[0] if values else None


def address(path: str, query: Query, kind: Kind[Any], at: str = "") -> str:
    """The address at `path` that asks for `query`, without what is the default; `at` is the
    moment as `at` takes it, or "".
    """
    pairs = [("host", slug) for slug in query.hosts]
    pairs += [("state", state) for state in query.states]
    pairs += [("flag", flag) for flag in query.flags]
    if query.text:
        pairs.append(("q", query.text))
    if query.sort != kind.default_sort:
        pairs.append(("sort", query.sort))
    if query.page != 1:
        pairs.append(("page", str(query.page)))
    if query.per_page != PER_PAGE:
        pairs.append(("per_page", str(query.per_page)))
    if at:
        pairs.append(("at", at))
    return f"{path}?{urlencode(pairs)}" if pairs else path


# --- choosing --------------------------------------------------------------------------------


def select(
    objects: Sequence[Any], query: Query, kind: Kind[Any], basis: Basis | None = None
) -> Answer:
    """The page of `objects` that `query` asks for; empty beyond the last page. With a `basis` the
    order is that of its objects' values, so that a list that changes keeps its order.
    """
    found = search(objects, query, kind)
    traits = [_traits(seen, kind) for seen in found]
    wanted = _Wanted(query, kind)
    fits = {trait: wanted.fits(trait) for trait in frozenset(traits)}
    left = [seen for seen, trait in zip(found, traits, strict=True) if fits[trait]]
    order = arrange(left, query, kind, basis)
    start = (query.page - 1) * query.per_page
    shown = Found(order[start : start + query.per_page], len(order))
    return Answer(shown, wanted.counts(Counter(traits)))


class _Traits(NamedTuple):
    """What filters look at. There are few different ones, however many objects there are."""

    known: bool
    state: str | None
    flags: frozenset[str]

    @property
    def words(self) -> frozenset[str]:
        """Its state and its flags."""
        return self.flags if self.state is None else self.flags | {self.state}


def _traits(seen: Any, kind: Kind[Any]) -> _Traits:
    if not seen.known:
        return _Traits(known=False, state=None, flags=_NO_FLAGS)
    state = seen.fact.state if kind.states else None
    return _Traits(known=True, state=state, flags=kind.flags(seen))


class _Wanted:
    """Tests and counts by state and flags: OR within a group, AND between groups."""

    def __init__(self, query: Query, kind: Kind[Any]) -> None:
        self._kind = kind
        self._states = frozenset(query.states)
        chosen = frozenset(query.flags)
        self._groups = {
            group: chosen.intersection(flags)
            for group, flags in kind.flag_groups.items()
            if not chosen.isdisjoint(flags)
        }

    def fits(self, traits: _Traits, leaving_out: str = "") -> bool:
        """Whether such objects are asked for, if the filter by one group is left out."""
        if self._states and traits.state not in self._states and leaving_out != "state":
            return False
        return all(
            group == leaving_out or not chosen.isdisjoint(traits.flags)
            for group, chosen in self._groups.items()
        )

    def counts(self, kinds: Mapping[_Traits, int]) -> Counts:
        # The flags running, paused, shutoff and other ask for the same as the state does, so
        # these two filters count as one group.
        groups = {"state": self._kind.states} if self._kind.states else {}
        for group, flags in self._kind.flag_groups.items():
            groups[group] = (*groups.get(group, ()), *flags)
        counts: Counts = {}
        for group, words in groups.items():
            counts.update(dict.fromkeys(words, 0))
            for traits, number in kinds.items():
                if self.fits(traits, group):
                    for word in traits.words.intersection(words):
                        counts[word] += number
        unknown = sum(number for traits, number in kinds.items() if not traits.known)
        return {**counts, "unknown": unknown}


def search(objects: Sequence[T], query: Query, kind: Kind[T]) -> Sequence[T]:
    """The objects of the hosts asked for in whose texts every word of the search occurs."""
    if query.hosts:
        hosts = frozenset(query.hosts)
        objects = [seen for seen in objects if seen.host in hosts]  # type: ignore[attr-defined]  # see Kind
    needles = query.text.casefold().split()
    if not needles:
        return objects
    return [seen for seen in objects if _holds(kind.texts(seen), needles)]


def _holds(texts: Iterable[str | None], needles: Sequence[str]) -> bool:
    # A line break between the texts, which no needle has in it.
    hay = "\n".join([text for text in texts if text]).casefold()
    return all(needle in hay for needle in needles)


def arrange(
    objects: Collection[T], query: Query, kind: Kind[T], basis: Basis | None = None
) -> list[T]:
    """The objects in the order asked for, and by name where that is equal. What is unknown comes
    last in either direction.
    """
    value_of = _value_of(query.sort_key, kind, basis)
    valued = [(value_of(seen), seen) for seen in sorted(objects, key=_name_key)]
    known = [pair for pair in valued if pair[0] is not None]
    known.sort(key=_first, reverse=query.descending)
    return [seen for _, seen in known] + [seen for value, seen in valued if value is None]


def _first(pair: tuple[Any, object]) -> Any:
    return pair[0]


def _value_of(key: str, kind: Kind[Any], basis: Basis | None) -> Callable[[Any], Any]:
    """What to sort an object by; None where its host does not answer, save for its names."""
    value_of, always = kind.sorts[key], key in ("name", "host")

    def value(seen: Any) -> Any:
        seen = seen if basis is None else basis.get((seen.host, seen.key), seen)
        return value_of(seen) if always or seen.known else None

    return value


def _name_key(seen: Any) -> tuple[object, ...]:
    name = seen.fact.name
    return natural(name), name, natural(seen.host), seen.key


def by_name(seen: Any) -> tuple[str | int, ...]:
    """The sort value of an object's name."""
    return natural(seen.fact.name)


def by_host(seen: Any) -> tuple[str | int, ...]:
    """The sort value of an object's host."""
    return natural(seen.host)


@lru_cache(maxsize=16_384)
def natural(text: str) -> tuple[str | int, ...]:
    """A sort key that puts "vm-2" before "vm-10" and does not heed case."""
    parts = _DIGITS.split(text.casefold())
    return tuple(int(part) if place % 2 else part for place, part in enumerate(parts))
