"""The typed errors of npvirt: one per boundary, each carrying what its caller decides on.

May import nothing of ours. Every message is one sentence that a person can act on; libvirt's or
SQLite's own words travel in `detail` and are shown to admins only.
"""

from typing import Literal

Failure = Literal[
    "gone", "unsupported", "unreachable", "denied", "invalid_state", "timeout", "invalid", "failed"
]
StoreProblem = Literal["full", "io", "locked", "read-only", "damaged", "denied", "gone", "other"]


# So many characters of somebody else's words are kept.
DETAIL_MAX = 4096


class NpvirtError(Exception):
    """Base of every error that npvirt raises on purpose; `str()` is a sentence."""


class InvalidField(NpvirtError):
    """A value from outside that is refused: nothing was changed, nothing was started.

    `field` names the form field, CLI option or query parameter.
    """

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(sentence)
        self.field = field
        self.sentence = sentence


class SettingsError(NpvirtError):
    """A malformed or unknown setting; stops the start."""


class VirtError(NpvirtError):
    """A libvirt call, or the way to the host, failed.

    `failure` is what callers branch on; `problem` is the finer code of app/virt/problems.py
    (for example "unknown-host-key"); `detail` is what libvirt, ssh or OpenSSL said, verbatim and
    hostile; `next_step` says what a person can do.
    """

    def __init__(
        self,
        failure: Failure,
        sentence: str,
        *,
        problem: str | None = None,
        detail: str = "",
        next_step: str = "",
    ) -> None:
        super().__init__(sentence)
        self.failure: Failure = failure
        self.problem = problem or failure
        self.sentence = sentence
        # What others say may be of any length, and is kept with every scan that fails.
        self.detail = detail[:DETAIL_MAX]
        self.next_step = next_step


class StoreError(NpvirtError):
    """The store cannot be opened, read or written; the sentence says which and what to do.

    `problem` is the fault of the file or its disk, "other" where it is none.
    """

    def __init__(self, sentence: str, *, problem: StoreProblem = "other") -> None:
        super().__init__(sentence)
        self.problem: StoreProblem = problem


class NotFound(NpvirtError):
    """No such object in the store at the asked moment."""


class Conflict(NpvirtError):
    """The request contradicts what is already there (a slug taken, a host known twice)."""
