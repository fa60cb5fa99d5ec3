"""What a proof is: what it counts, how long it is, and how it says that a promise was broken.

A proof that injected nothing, or checked nothing, has failed.
"""

import math
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

# "brief": just enough to find what was planted; "ci": the column of `make faults`; "long": that of
# `make soak`.
Length = Literal["brief", "ci", "long"]

TICK_S = 3.0
# So often a long run says how far it is.
_SAY_S = 600.0


class BrokenPromise(AssertionError):
    """What npvirt promises under a fault, and what was seen instead."""


class Tally:
    """What one run of a proof did."""

    def __init__(
        self,
        length: Length,
        plant: str = "",
        minutes: float = math.inf,
        tick_s: float = TICK_S,
    ) -> None:
        self.length = length
        self.plant = plant
        # How long a tick is, where a proof leaves that to whoever runs it.
        self.tick_s = tick_s
        self._minutes = minutes
        self.attempts = 0
        self.checks = 0
        self.injected: Counter[str] = Counter()
        self.notes: list[str] = []
        self._begun_s = self._said_s = time.monotonic()

    def of(self, brief: int, ci: int, long: int) -> int:
        """The number that goes with the length of this run."""
        return {"brief": brief, "ci": ci, "long": long}[self.length]

    def rounds(self, brief: int, ci: int, long: int) -> Iterator[int]:
        """Numbers from 0 on: as many as go with the length of this run, or as its time allows."""
        for number in range(self.of(brief, ci, long)):
            if number and self.left_s() <= 0:
                return
            self._say_how_far()
            yield number

    def _say_how_far(self) -> None:
        """Of a run of hours that is cut off this is all that is known."""
        now_s = time.monotonic()
        if self.length == "long" and now_s - self._said_s >= _SAY_S:
            self._said_s = now_s
            print(f"so far: {self.line}", file=sys.stderr, flush=True)

    def left_s(self) -> float:
        """How many of the minutes that this run may take are left, in seconds."""
        return self._begun_s + 60 * self._minutes - time.monotonic()

    def check(self, kept: object, sentence: str) -> None:
        """Count a check; raises BrokenPromise with the sentence where the promise was not kept."""
        self.checks += 1
        if not kept:
            raise BrokenPromise(sentence)

    def note(self, text: str) -> None:
        """Keep a figure for the line."""
        self.notes.append(text)

    @property
    def line(self) -> str:
        """One line: attempts, checks, faults injected by kind, length, figures."""
        kinds = ", ".join(f"{count} × {kind}" for kind, count in sorted(self.injected.items()))
        counted = f"{self.attempts} attempts, {self.checks} checks"
        parts = [
            f"{counted}, {self.injected.total()} faults injected ({kinds or 'none'})",
            f"{time.monotonic() - self._begun_s:.0f} s",
            *self.notes,
        ]
        return "; ".join(parts)


@dataclass(frozen=True)
class Proof:
    """A promise, and how it is tried. `plants`: faults of npvirt's own that `prove` can plant, by
    name, with what each would be; `cheap` are those that are planted with every run of the tests.
    `lacking` says what this machine lacks for it, in a sentence, or None.
    """

    name: str
    promise: str
    prove: Callable[[Tally], None]
    plants: Mapping[str, str] = field(default_factory=dict)
    cheap: tuple[str, ...] = ()
    lacking: Callable[[], str | None] = lambda: None


def run(
    proof: Proof,
    length: Length,
    plant: str = "",
    minutes: float = math.inf,
    tick_s: float = TICK_S,
) -> Tally:
    """Run a proof, for so many minutes at most; raises BrokenPromise when the promise was broken,
    with what was done until then, or nothing was proved.
    """
    tally = Tally(length, plant, minutes, tick_s)
    try:
        proof.prove(tally)
    except BrokenPromise as broken:
        raise BrokenPromise(f"{broken}; until then {tally.line}") from broken
    if not tally.injected.total():
        raise BrokenPromise("no fault was injected, so nothing is proved")
    if not tally.checks or not tally.attempts:
        raise BrokenPromise("nothing was tried or checked, so nothing is proved")
    return tally


def is_found(proof: Proof, plant: str) -> str:
    """What a proof says of a planted fault; raises BrokenPromise when it does not find it."""
    try:
        run(proof, "brief", plant)
    except BrokenPromise as found:
        return str(found)
    raise BrokenPromise(f"{proof.name} did not find what was planted: {proof.plants[plant]}")
