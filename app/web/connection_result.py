"""A connection test's outcome in words. Pure: from the diagnosis to what the template shows."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.collect.connecting import Diagnosis, HostKey
from app.connection import Connection
from app.web.figures import size


@dataclass(frozen=True)
class StepRow:
    """One step: `mark` ok, bad, warn or untried."""

    mark: str
    label: str
    message: str


@dataclass(frozen=True)
class ConnectionResult:
    """The walk to the host. `stopped_at` is the number of the failed step, None if none did."""

    ok: bool
    steps: tuple[StepRow, ...]
    stopped_at: int | None
    problem: str
    sentence: str
    next_step: str
    detail: str
    key_file: str
    fingerprint: str
    took: str
    found: str
    trustable: bool


def result_of(diagnosis: Diagnosis, connection: Connection) -> ConnectionResult:
    """What a test of `connection` came to."""
    steps = tuple(
        _step(step.ok, step.label, step.message, diagnosis.sentence) for step in diagnosis.steps
    )
    marks = [step.mark for step in steps]
    stopped = marks.index("bad") + 1 if "bad" in marks else None
    key = _key_to_compare(diagnosis.host_keys)
    return ConnectionResult(
        ok=diagnosis.ok,
        steps=steps,
        stopped_at=stopped,
        problem=diagnosis.problem or "",
        sentence=diagnosis.sentence,
        next_step=diagnosis.next_step,
        detail=diagnosis.detail,
        key_file=_key_file(key.type) if key else "",
        fingerprint=key.fingerprint if key else "",
        took=f"{diagnosis.took_ms / 1000:.1f} s",
        found=_found(diagnosis),
        trustable=key is not None and connection.known_hosts is None,
    )


def _key_to_compare(keys: Sequence[HostKey]) -> HostKey | None:
    """The one key of a host that a person is asked to compare: the shortest to read."""
    order = sorted(keys, key=lambda key: "ed25519" not in key.type.lower())
    return order[0] if order else None


def _key_file(key_type: str) -> str:
    """The part of the key's file name that tells its type."""
    known = ("ed25519", "ecdsa", "rsa")
    return next((name for name in known if name in key_type.lower()), "ed25519")


def _step(ok: bool | None, label: str, message: str, sentence: str) -> StepRow:
    if ok is None:
        return StepRow("untried" if message == "not tried" else "warn", label, message)
    # Why it failed is said in full below the steps.
    said = "stopped here" if message == sentence else message
    return StepRow("ok" if ok else "bad", label, said)


def _found(diagnosis: Diagnosis) -> str:
    counts = ((diagnosis.domains, "VM"), (diagnosis.pools, "pool"), (diagnosis.cpus, "CPU"))
    parts = [f"{n} {word}{'' if n == 1 else 's'}" for n, word in counts if n is not None]
    if diagnosis.memory_bytes is not None:
        parts.append(size(diagnosis.memory_bytes))
    return ", ".join(parts)
