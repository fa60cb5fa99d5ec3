"""The made-up past played from its beginning: which scans found something new, and who did it.

Pure. Gives the looks in the order of time; what happens while a host is not seen shows in the
first look afterwards.
"""

from collections.abc import Iterator
from functools import cache
from itertools import groupby

from msgspec import Struct
from msgspec.structs import replace

from app.clock import MINUTE_MS
from app.demo.plan import Plan, number
from app.demo.timeline import ACTIONS, Happening, Story, story
from app.demo.world import Silence, World, took_ms
from app.inventory import Scan

_PARTS = ("silence", "answer", "halt", "continue")


class Look(Struct):
    """A scan of a host that found something new; `first`: nothing was scanned there before it, or
    for a while.
    """

    slug: str
    minute: int
    scan: Scan
    first: bool


class Act(Struct):
    """What a demo user had npvirt do to a domain (`slug` and `uuid`) in a minute."""

    slug: str
    uuid: str
    name: str
    minute: int
    action: str
    who: str


@cache
def offset_ms(slug: str) -> int:
    """When in a minute a host is scanned."""
    return number(0, "offset", slug) % 9_000


def at_ms(slug: str, minute: int) -> int:
    """The time of a host's scan of a minute."""
    return minute * MINUTE_MS + offset_ms(slug)


class Play:
    """A world, and its story told into it."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.world = World(plan)
        self._story: Story = story(plan)
        self._silent: dict[str, Silence] = {}
        self._stopped: Silence | None = None
        self._waiting: set[str] = set()

    def run(self) -> Iterator[Look | Act]:
        """The looks and acts, in the order of time."""
        yield from self._beginning()
        for minute, together in groupby(self._story.happenings, lambda one: one.minute):
            touched: set[str] = set()
            back: set[str] = set()
            for one in together:
                if one.verb in _PARTS:
                    back |= self._part(one)
                    continue
                act = self._act(one)
                hosts = self._apply(one)
                touched |= hosts
                if hosts and act is not None:
                    yield act
            yield from self._looks(minute, touched, back)

    def _beginning(self) -> Iterator[Look]:
        world, begin = self.world, self.plan.begin
        world.specs |= {spec.name: spec for spec in self._story.there}
        for spec in self._story.there:
            world.create(begin, spec.name)
            if spec.name in self._story.running:
                world.start(begin, spec.name)
        for slug, host in world.hosts.items():
            yield Look(slug, begin, host.look(begin, at_ms(slug, begin)), first=True)

    def _part(self, one: Happening) -> set[str]:
        """A host goes silent or answers again, npvirt is stopped or goes on; the hosts that are
        seen again.
        """
        hosts = self.world.hosts
        if one.verb == "silence" and one.subject not in self._silent and self._stopped is None:
            problem, sentence = one.arguments
            gap = Silence(one.minute, None, problem, sentence)
            self._silent[one.subject] = gap
            hosts[one.subject].silences.append(gap)
            return {one.subject}
        if one.verb == "answer" and one.subject in self._silent:
            self._silent.pop(one.subject).end = one.minute
            return {one.subject} if self._stopped is None else set()
        if one.verb == "halt" and self._stopped is None and not self._silent:
            self._stopped = Silence(one.minute, None, None, None)
            for host in hosts.values():
                host.silences.append(self._stopped)
        elif one.verb == "continue" and self._stopped is not None:
            self._stopped.end = one.minute
            self._stopped = None
            return set(hosts)
        return set()

    def _act(self, one: Happening) -> Act | None:
        action = ACTIONS.get(one.verb)
        found = self.world.machine(one.subject)
        hidden = self._stopped is not None or (found and found[0].slug in self._silent)
        if one.who is None or action is None or found is None or hidden:
            return None
        host, machine = found
        return Act(host.slug, machine.spec.uuid, one.subject, one.minute, action, one.who)

    def _apply(self, one: Happening) -> set[str]:
        verb = getattr(self.world, one.verb)
        hosts: set[str] = verb(one.minute, one.subject, *one.arguments)
        return hosts

    def _looks(self, minute: int, touched: set[str], back: set[str]) -> Iterator[Look]:
        self._waiting |= touched
        for slug, host in self.world.hosts.items():
            gap = self._silent.get(slug)
            if gap is not None and gap.begin == minute and slug in back:
                failed = Scan(
                    at_ms(slug, minute), 10_000, ok=False, problem=gap.problem,
                    sentence=gap.sentence, next_at_ms=at_ms(slug, minute + 1),
                )  # fmt: skip
                yield Look(slug, minute, failed, first=False)
            elif gap is None and self._stopped is None and (slug in self._waiting or slug in back):
                self._waiting.discard(slug)
                scan = host.look(minute, at_ms(slug, minute))
                yield Look(slug, minute, replace(scan, took_ms=took_ms(slug, minute)),
                           first=slug in back)  # fmt: skip
