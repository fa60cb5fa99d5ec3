"""What guest agents tell: host name, operating system, addresses.

Owns when each agent is asked and what is kept of its answers. Runs beside the scans with a
session of its own: a hung agent costs this thread two seconds and a scan nothing. A scan takes
the last answers as they are; an answer holds while the domain runs on.
"""

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import libvirt
from msgspec import Struct, structs

from app.errors import VirtError
from app.inventory import Guest, GuestAddress
from app.virt.read.background import Background, connection_of
from app.virt.xml.document import XmlRefused
from app.virt.xml.domain import parse_domain
from app.virt.xml.values import clean, word

if TYPE_CHECKING:
    from app.virt.session import Session

AGENT_TIMEOUT_S = 2
_DEADLINE_S = 10.0
_FIRST_PERIOD_S = 10.0
_LONGEST_PERIOD_S = 300.0
_LONGEST_SILENT_PERIOD_S = 60.0
_MAX_INTERFACES = 256
_ASKED = (
    libvirt.VIR_DOMAIN_GUEST_INFO_HOSTNAME
    | libvirt.VIR_DOMAIN_GUEST_INFO_OS
    | getattr(libvirt, "VIR_DOMAIN_GUEST_INFO_INTERFACES", 0)
)


class Target(Struct, frozen=True):
    """A running domain that has an agent's channel; `id` tells one run from the next."""

    uuid: str
    id: int


class Answer(Struct, frozen=True):
    """The channel's state ("connected", "disconnected") and what the agent last told."""

    id: int
    agent: str
    guest: Guest | None


class _Turn(Struct):
    id: int
    next_s: float = 0.0
    period_s: float = _FIRST_PERIOD_S
    bounded: bool = False


class AgentWatch:
    """Asks the guest agents of one host, each in its turn."""

    def __init__(
        self, open_session: "Callable[[], Session]", monotonic_s: Callable[[], float]
    ) -> None:
        self._background = Background("npvirt-agent", open_session, _DEADLINE_S)
        self._monotonic_s = monotonic_s
        self._lock = threading.Lock()
        self._turns: dict[str, _Turn] = {}
        self._answers: dict[str, Answer] = {}
        self._wanted: tuple[Target, ...] = ()

    @property
    def refusal(self) -> str | None:
        """Why no agent can be asked on this host, None when they can."""
        return self._background.refusal

    def answers(self) -> Mapping[str, Answer]:
        """The last answers by domain UUID; a snapshot that does not change any more."""
        with self._lock:
            return self._answers.copy()

    def want(self, targets: tuple[Target, ...]) -> None:
        """Have these agents, and no others, asked when their turn comes; returns at once."""
        ids = {target.uuid: target.id for target in targets}
        with self._lock:
            self._wanted = targets
            self._turns = {u: turn for u, turn in self._turns.items() if ids.get(u) == turn.id}
            self._answers = {
                uuid: answer for uuid, answer in self._answers.items() if ids.get(uuid) == answer.id
            }
        if self._due():
            self._background.submit(self._ask_due)

    def heard(self, uuid: str, channel: str | None) -> None:
        """Take note of the channel's state ("connected", "disconnected") as libvirt tells it; it
        is this agent's turn now.
        """
        with self._lock:
            self._turns.pop(uuid, None)
            answer = self._answers.get(uuid)
            if answer is not None and channel is not None:
                self._answers[uuid] = structs.replace(answer, agent=channel)

    def hurry(self) -> None:
        """Every agent's turn is now."""
        with self._lock:
            self._turns.clear()

    def forget(self) -> None:
        """Every agent's turn is now, over another connection; what they told is kept."""
        self.hurry()
        self._background.cut()

    def close(self) -> None:
        """End the thread and its session."""
        self._background.close()

    def _due(self) -> list[Target]:
        """Whose turn it is, who waits longest first."""
        now_s = self._monotonic_s()
        with self._lock:
            turns = [(self._turns.get(target.uuid), target) for target in self._wanted]
        waiting = [(0.0 if turn is None else turn.next_s, target) for turn, target in turns]
        due = [(next_s, target) for next_s, target in waiting if next_s <= now_s]
        return [target for _, target in sorted(due, key=lambda one: one[0])]

    def _ask_due(self, session: "Session") -> None:
        permitted = False
        for target in self._due():
            with self._lock:
                turn = self._turns.setdefault(target.uuid, _Turn(target.id))
                before = self._answers.get(target.uuid)
            turn.next_s = self._monotonic_s() + turn.period_s
            try:
                answer = _ask(session, target, turn, before)
                permitted = True
            except VirtError as error:
                if not permitted or error.failure != "denied":
                    raise
                # Others may be asked, if not this one: so it is with fine-grained permissions.
                answer = None
            silent = answer is None or answer.agent == "disconnected"
            longest_s = _LONGEST_SILENT_PERIOD_S if silent else _LONGEST_PERIOD_S
            turn.period_s = min(2 * turn.period_s, longest_s)
            with self._lock:
                if answer is not None and self._turns.get(target.uuid) is turn:
                    self._answers[target.uuid] = answer


def _ask(session: "Session", target: Target, turn: _Turn, before: Answer | None) -> Answer | None:
    """What the agent says now, with what it told before where it is silent; None when the domain
    is not there any more, or does not even tell of the channel. Raises VirtError when the session
    is lost.
    """
    channel: str | None = None
    told = before.guest if before is not None and before.id == target.id else None
    try:
        domain = session.call(connection_of(session).lookupByUUIDString, target.uuid)
        channel = parse_domain(session.call(domain.XMLDesc, 0)).agent
        if domain.ID() != target.id or channel is None:
            return None
        if channel == "connected":
            told = _guest(session, domain, turn)
    except VirtError as error:
        if not session.alive or error.failure == "denied":
            raise
        if error.failure == "gone" or channel is None:
            return None
        # Connected, but silent: the last answer holds.
    except XmlRefused:
        return None
    return Answer(target.id, channel, told)


def _guest(session: "Session", domain: libvirt.virDomain, turn: _Turn) -> Guest:
    if not turn.bounded:
        session.call(domain.agentSetResponseTimeout, AGENT_TIMEOUT_S)
        turn.bounded = True
    try:
        return guest_of(session.call(domain.guestInfo, _ASKED))
    except VirtError as error:
        if error.failure != "unsupported" or not session.alive:
            raise
    # An older libvirt or agent knows less: the host name alone then.
    flags = libvirt.VIR_DOMAIN_GET_HOSTNAME_AGENT
    return Guest(hostname=word(session.call(domain.hostname, flags)))


def guest_of(info: Mapping[str, Any]) -> Guest:
    """The guest information that libvirt gives as one flat mapping; bounded, without loopback."""
    interfaces = (_interface(info, f"if.{index}") for index in range(_count(info.get("if.count"))))
    return Guest(
        hostname=_text(info.get("hostname")),
        os=_text(info.get("os.pretty-name")) or _text(info.get("os.name")),
        addresses=tuple(
            sorted(
                (entry for entry in interfaces if entry is not None),
                key=lambda entry: (entry.name, entry.mac or ""),
            )
        ),
    )


def _interface(info: Mapping[str, Any], prefix: str) -> GuestAddress | None:
    name = _text(info.get(f"{prefix}.name")) or ""
    addresses = []
    for index in range(_count(info.get(f"{prefix}.addr.count"))):
        address = _text(info.get(f"{prefix}.addr.{index}.addr"))
        length = info.get(f"{prefix}.addr.{index}.prefix")
        if address is not None:
            addresses.append(f"{address}/{length}" if isinstance(length, int) else address)
    if name == "lo" or not (addresses or name):
        return None
    return GuestAddress(name, _text(info.get(f"{prefix}.hwaddr")), tuple(sorted(addresses)))


def _count(value: object) -> int:
    return max(0, min(value, _MAX_INTERFACES)) if isinstance(value, int) else 0


def _text(value: object) -> str | None:
    return word(clean(value)) if isinstance(value, str) else None
