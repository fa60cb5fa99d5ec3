"""What happened in the made-up past, minute by minute: declared, and drawn from chance. Pure.

A happening names a verb of World and its arguments; `who` is a made-up demo user who asked npvirt
for it. Those that turn out impossible when their time comes are passed over.
"""

import random
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from app.demo.catalog import Role, Spec, sites, specs
from app.demo.hardware import LIBVIRT
from app.demo.plan import DAY, HOUR, Plan, chance, uuid_of
from app.demo.planted import IDLE, OVERSIZED

USERS = ("demo-ada", "demo-ops", "demo-lin")
_SSH_TIMEOUT = ("timeout", "{host} did not answer within 10 seconds over SSH.")
_REFUSED = ("refused", "{host} refused the connection: libvirtd is not running there.")


class Happening(Struct, frozen=True):
    """One thing that happens to `subject` (a domain, else a host; "" for npvirt itself)."""

    minute: int
    verb: str
    subject: str
    arguments: tuple[Any, ...] = ()
    who: str | None = None


class Story(Struct):
    """What there was at the beginning, and all that happened since, in the order of time."""

    there: list[Spec]
    running: set[str]
    happenings: list[Happening]


def story(plan: Plan) -> Story:
    """The whole past of a plan."""
    told = _Teller(plan)
    told.births()
    for spec in told.alive:
        told.life(spec)
    told.hosts()
    told.last_day()
    happenings = [one for one in told.happenings if plan.begin < one.minute <= plan.end]
    happenings.sort(key=lambda one: (one.minute, one.subject, one.verb))
    return Story(told.there, told.running, happenings)


class _Teller:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.happenings: list[Happening] = []
        self.there: list[Spec] = []
        self.running: set[str] = set()
        self.alive = list(specs(plan))
        self.slugs = [site.slug for site in sites(plan)]
        self.born: dict[str, int] = {}

    def tell(self, minute: float, verb: str, subject: str, *arguments: Any,
             who: str | None = None) -> None:  # fmt: skip
        """Add a happening."""
        self.happenings.append(Happening(round(minute), verb, subject, arguments, who))

    def luck(self, *words: object) -> random.Random:
        """Chance of one's own."""
        return chance(self.plan.seed, "story", *words)

    # --- domains ---------------------------------------------------------------------------

    def births(self) -> None:
        """Which domains there were from the beginning, which came later, which are gone."""
        plan = self.plan
        settled = (*IDLE, *OVERSIZED, "db-primary", "build-07", "build-01", "erp-test", "k8s-w1")
        for spec in self.alive:
            luck = self.luck("birth", spec.name)
            if spec.name in settled or luck.random() < 0.62:
                self.there.append(spec)
                self.running.add(spec.name)
                self.born[spec.name] = plan.begin
            else:
                minute = self._working_hour(luck, plan.begin, plan.end - 3 * DAY)
                self.born[spec.name] = minute
                self.tell(minute, "create", spec.name, who=luck.choice((*USERS, None)))
                self.tell(minute + 3, "start", spec.name)
        for number in range(max(1, plan.domains // 9)):
            self._gone(number)

    def _gone(self, number: int) -> None:
        """A domain that no longer exists at the end."""
        luck = self.luck("gone", number)
        name = luck.choice(("old-app", "test", "trial", "migration", "bench", "tmp"))
        role = Role(f"{name}-{number + 1}", 1, 2, luck.choice((2, 4, 8)), (40,), "dev", ())
        uuid = uuid_of(self.plan.seed, "gone", number)
        host = luck.choice([slug for slug in self.slugs if slug != "kvm-05"] or self.slugs)
        spec = Spec(role.name, uuid, role, host)
        begin = luck.randint(self.plan.begin - 60 * DAY, self.plan.end - 20 * DAY)
        end = min(
            begin + luck.randint(4 * DAY, 140 * DAY), self.plan.end - luck.randint(0, 9 * DAY)
        )
        if begin <= self.plan.begin < end:
            self.there.append(spec)
            self.running.add(spec.name)
        elif begin > self.plan.begin:
            self.tell(begin, "create", spec.name, spec)
            self.tell(begin + 2, "start", spec.name)
        self.tell(end - 4, "stop", spec.name)
        self.tell(end, "delete", spec.name, who=luck.choice((*USERS, None)))

    def life(self, spec: Spec) -> None:
        """How one domain comes and goes."""
        begin = self.born[spec.name] + DAY
        luck = self.luck("life", spec.name)
        if spec.name not in IDLE:
            _LIVES[spec.role.life](self, spec, luck, begin)
        if spec.name in (*IDLE, *OVERSIZED, "db-primary"):
            return
        self._growth(spec, luck, begin)
        self._care(spec, luck, begin)

    def _always(self, spec: Spec, luck: random.Random, begin: int) -> None:
        """Restarted for updates, crashed now and then, moved when a host is worked on."""
        minute = begin + luck.randint(0, 60 * DAY)
        while minute < self.plan.end - DAY:
            if luck.random() < 0.06:
                self.tell(minute, "crash", spec.name)
                self.tell(minute + luck.randint(4, 90), "start", spec.name,
                          who=luck.choice((*USERS, None)))  # fmt: skip
            else:
                who = luck.choice((*USERS, None, None))
                self.tell(self._night(minute), "restart", spec.name, who=who)
            minute += luck.randint(35 * DAY, 110 * DAY)
        if spec.host in ("kvm-01", "kvm-03", "kvm-06") and luck.random() < 0.5:
            away = self._working_hour(luck, begin, self.plan.end - 3 * DAY)
            to = luck.choice([s for s in ("kvm-01", "kvm-03", "kvm-06") if s != spec.host])
            self.tell(away, "move", spec.name, to, who=luck.choice(USERS))
            self.tell(away + luck.randint(40, 6 * HOUR), "move", spec.name, spec.host)

    def _office(self, spec: Spec, luck: random.Random, begin: int) -> None:
        """Off over the weekend, some weeks."""
        for day in range(begin // DAY, self.plan.end // DAY):
            weekday = (day + 3) % 7
            if weekday == 4 and luck.random() < 0.16:
                self.tell(day * DAY + luck.randint(16 * HOUR, 19 * HOUR), "stop", spec.name)
            elif weekday == 0:
                who = luck.choice((*USERS, None, None))
                self.tell(day * DAY + luck.randint(7 * HOUR, 9 * HOUR), "start", spec.name, who=who)

    def _ci(self, spec: Spec, luck: random.Random, begin: int) -> None:
        """Stopped and started with the work there is, more often of late."""
        minute = begin
        while minute < self.plan.end - 3 * HOUR:
            recent = self.plan.end - minute < 5 * DAY
            minute += (
                luck.randint(3 * HOUR, 22 * HOUR) if recent else luck.randint(6 * DAY, 30 * DAY)
            )
            self.tell(minute, "stop", spec.name, who=luck.choice((*USERS, *[None] * 12)))
            minute += luck.randint(20, 9 * HOUR)
            self.tell(minute, "start", spec.name, who=luck.choice((*USERS, *[None] * 12)))
            if luck.random() < 0.03:
                self.tell(minute + 300, "crash", spec.name)
                self.tell(minute + 320, "start", spec.name)

    def _lab(self, spec: Spec, luck: random.Random, begin: int) -> None:
        """Used for some days, then left alone."""
        minute = begin
        while True:
            minute += luck.randint(3 * DAY, 36 * DAY)
            if minute > self.plan.end - 2 * HOUR:
                return
            verb = luck.choice(("stop", "stop", "stop", "save", "pause"))
            self.tell(minute, verb, spec.name)
            minute += luck.randint(2 * HOUR, 8 * DAY)
            if minute > self.plan.end - HOUR:
                return
            self.tell(minute, "resume" if verb == "pause" else "start", spec.name,
                      who=luck.choice((*USERS, None)))  # fmt: skip

    def _growth(self, spec: Spec, luck: random.Random, begin: int) -> None:
        """Memory, vCPUs and disks that were added (the role says what there is in the end)."""
        role = spec.role
        if role.life == "always" and luck.random() < 0.16 and role.memory_gib >= 8:
            minute = self._working_hour(luck, begin, self.plan.end - 5 * DAY)
            self.tell(begin - DAY + 5, "memory", spec.name, role.memory_gib * 3 // 4)
            self.tell(minute, "memory", spec.name, role.memory_gib, who=luck.choice(USERS))
        if role.life == "always" and luck.random() < 0.1 and role.vcpus >= 4:
            minute = self._working_hour(luck, begin, self.plan.end - 5 * DAY)
            self.tell(begin - DAY + 6, "vcpus", spec.name, role.vcpus // 2)
            self.tell(minute, "vcpus", spec.name, role.vcpus)
        if luck.random() < 0.07:
            minute = self._working_hour(luck, begin, self.plan.end - 2 * DAY)
            self.tell(minute, "disk", spec.name, luck.choice((20, 40)), who=luck.choice(USERS))

    def _care(self, spec: Spec, luck: random.Random, begin: int) -> None:
        """Snapshots before upgrades, media, flags."""
        if luck.random() < 0.25:
            minute = self._working_hour(luck, begin, self.plan.end - 16 * DAY)
            self.tell(minute, "snap", spec.name, "before-upgrade", who=luck.choice(USERS))
            self.tell(minute + luck.randint(DAY, 14 * DAY), "unsnap", spec.name)
        if luck.random() < 0.14:
            minute = self._working_hour(luck, begin, self.plan.end - 2 * DAY)
            self.tell(minute, "media", spec.name, "/srv/iso/debian-12.9.0-amd64-netinst.iso")
            self.tell(minute + luck.randint(30, 5 * HOUR), "media", spec.name, None)
        if luck.random() < 0.1:
            minute = self._working_hour(luck, begin, self.plan.end - DAY)
            self.tell(minute, "autostart", spec.name, luck.random() < 0.5, who=luck.choice(USERS))
        if spec.role.title and luck.random() < 0.06:
            minute = self._working_hour(luck, begin, self.plan.end - DAY)
            self.tell(minute, "retitle", spec.name, f"{spec.role.title} (moved to team B)")

    # --- hosts -----------------------------------------------------------------------------

    def hosts(self) -> None:
        """Upgrades, hosts that did not answer, pools that were disconnected, npvirt stopped."""
        plan = self.plan
        for slug in self.slugs:
            luck = self.luck("host", slug)
            for place, version in enumerate(LIBVIRT[1:3]):
                minute = plan.begin + (place + 1) * plan.days * DAY // 3 + luck.randint(0, 5 * DAY)
                self.tell(self._night(minute), "upgrade", slug, version)
            for _ in range(1 + plan.days // 90):
                begin = luck.randint(plan.begin + DAY, plan.end - 2 * DAY)
                length = luck.choice((6, 14, 25, 70, 200, 380))
                problem, sentence = luck.choice((_SSH_TIMEOUT, _REFUSED))
                self._silent(slug, begin, length, problem, sentence.format(host=slug))
        luck = self.luck("npvirt")
        for _ in range(plan.days // 70):
            begin = luck.randint(plan.begin + DAY, plan.end - 3 * DAY)
            self._stopped(begin, luck.choice((12, 35, 75, 240)))
        if "kvm-06" in self.slugs:
            for _ in range(plan.days // 130):
                begin = self._night(luck.randint(plan.begin + DAY, plan.end - 3 * DAY))
                self.tell(begin, "stop_pool", "kvm-06", "iso")
                self.tell(begin + 150, "start_pool", "kvm-06", "iso")

    def _silent(self, slug: str, begin: int, length: int, problem: str, sentence: str) -> None:
        self.tell(begin, "silence", slug, problem, sentence)
        self.tell(begin + length, "answer", slug)

    def _stopped(self, begin: int, length: int) -> None:
        self.tell(begin, "halt", "")
        self.tell(begin + length, "continue", "")

    def last_day(self) -> None:
        """What a newcomer sees first: the last day is written by hand."""
        end = self.plan.end
        self._stopped(end - 11 * HOUR, 75)
        build = "build-07" if any(s.name == "build-07" for s in self.alive) else "build-01"
        self._quiet(build, end - DAY)
        self.tell(end - 6 * HOUR, "start", build)
        self.tell(end - 26, "crash", build)
        self._quiet("erp-test", end - DAY)
        self.tell(end - 6 * HOUR, "start", "erp-test")
        self.tell(end - 295, "pause", "erp-test", "io-error")
        self.tell(self.plan.begin + 7, "memory", "db-primary", 16)
        self.tell(end - 107, "memory", "db-primary", 24, who="demo-ada")
        self._quiet("ci-runner-03", end - DAY)
        self.tell(end - 5 * HOUR, "start", "ci-runner-03")
        self.tell(end - 9, "stop", "ci-runner-03", who="demo-ops")
        self.tell(end - 170, "stop", "staging-web", who="demo-lin")
        self.tell(end - 140, "start", "staging-web")
        self._quiet("dev-box-02", end - 2 * DAY)
        self.tell(end - 90, "snap", "dev-box-02", "before-upgrade", who="demo-lin")
        if "kvm-04" in self.slugs:
            self.tell(end - 185, "upgrade", "kvm-04", LIBVIRT[3])
        if "kvm-06" in self.slugs:
            self.tell(end - 6 * HOUR, "move", "vpn-1", "kvm-01", who="demo-ops")
            problem, sentence = _SSH_TIMEOUT
            self.tell(end - 5, "silence", "kvm-06", problem, sentence.format(host="kvm-06"))

    def _quiet(self, name: str, since: int) -> None:
        """Nothing else happens to a domain from then on."""
        self.happenings = [
            one for one in self.happenings if one.subject != name or one.minute < since
        ]

    def _working_hour(self, luck: random.Random, begin: int, end: int) -> int:
        """A minute of a working day between two times."""
        minute = luck.randint(begin, max(begin, end - 3 * DAY))
        day = minute // DAY
        while (day + 3) % 7 >= 5:
            day += 1
        return day * DAY + luck.randint(8 * HOUR, 17 * HOUR)

    def _night(self, minute: int) -> int:
        return minute // DAY * DAY + 3 * HOUR + minute % 97


_LIVES = {
    "always": _Teller._always,
    "office": _Teller._office,
    "ci": _Teller._ci,
    "lab": _Teller._lab,
}

# What an action is called in the audit, by verb; what npvirt cannot do was done outside of it.
ACTIONS: Mapping[str, str] = {
    "start": "start", "stop": "shutdown", "restart": "reboot", "delete": "undefine",
    "snap": "snapshot-create", "autostart": "autostart", "pause": "suspend", "resume": "resume",
}  # fmt: skip
