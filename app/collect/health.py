"""What the collector says of itself: values, and nothing that does anything."""

from msgspec import Struct

from app.collect.pulse import PulseFigures
from app.collect.upkeep import UpkeepFigures
from app.collect.worker import WorkerFigures


class Health(Struct, frozen=True):
    """Whether the schedule goes on. `collecting`: this process scans (else another does)."""

    ok: bool
    collecting: bool
    tick_age_s: float | None
    sentence: str


class Supervision(Struct, frozen=True):
    """What this process's own machinery counted since it was started. `workers` by host, where
    this process collects; `replaced`: by host, how many of its workers died or hung, and were
    replaced; `renewals`: how often the scheduler was.
    """

    pulse: PulseFigures
    renewals: int
    upkeep: UpkeepFigures
    workers: dict[str, WorkerFigures]
    replaced: dict[str, int]
