"""Long work that goes on: what it is, how far it came, and how it is stopped.

In memory, for this process's own jobs; what a job was and what came of it is in the audit, so a
job of another process, or of one that ended, is known by its record alone. A job's id is that of
its intent in the audit.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator

from msgspec import Struct
from msgspec.structs import replace

from app.errors import Conflict, VirtError

_KEPT = 200


class Job(Struct, frozen=True):
    """One piece of long work. `outcome` None: it goes on; `done_bytes` and `total_bytes` None:
    nobody tells. `stoppable`: whether libvirt can stop it.
    """

    id: int
    action: str
    label: str
    kind: str
    host_id: int
    host: str
    key: str
    name: str
    who: str
    started_at_ms: int
    stoppable: bool
    done_bytes: int | None = None
    total_bytes: int | None = None
    stopping: bool = False
    outcome: str | None = None
    sentence: str = ""
    ended_at_ms: int | None = None


class Jobs:
    """The jobs of this process, the newest of them; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: OrderedDict[int, Job] = OrderedDict()
        self._stops: dict[int, Callable[[], None]] = {}
        self._version = 0

    @property
    def version(self) -> int:
        """A number that changes whenever any job does."""
        return self._version

    def begin(self, job: Job, stop: Callable[[], None] | None) -> None:
        """Note a job; `stop` asks it to end early and may wait for its host."""
        with self._lock:
            self._jobs[job.id] = job
            if stop is not None:
                self._stops[job.id] = stop
            while len(self._jobs) > _KEPT:
                self._forget_oldest()
            self._version += 1

    def moved(self, job_id: int, done_bytes: int | None, total_bytes: int | None) -> None:
        """Note how far a job came."""
        self._change(job_id, done_bytes=done_bytes, total_bytes=total_bytes)

    def end(self, job_id: int, outcome: str, sentence: str, at_ms: int) -> None:
        """Note what came of a job."""
        self._change(job_id, outcome=outcome, sentence=sentence, ended_at_ms=at_ms)
        with self._lock:
            self._stops.pop(job_id, None)

    def stop(self, job_id: int) -> None:
        """Ask a job to end early; raises Conflict where it cannot or its host does not answer."""
        with self._lock:
            job, stop = self._jobs.get(job_id), self._stops.get(job_id)
        if job is None or job.outcome is not None:
            raise Conflict("This work is over already.")
        if stop is None:
            raise Conflict("libvirt cannot stop this once it has begun.")
        self._change(job_id, stopping=True)
        try:
            stop()
        except VirtError as error:
            self._change(job_id, stopping=False)
            raise Conflict(f"It could not be stopped. {error.sentence}") from None

    def is_stopping(self, job_id: int) -> bool:
        """Whether a job was asked to end early."""
        with self._lock:
            job = self._jobs.get(job_id)
        return job is not None and job.stopping

    def get(self, job_id: int) -> Job | None:
        """The job, if it is one of this process."""
        with self._lock:
            return self._jobs.get(job_id)

    def all(self) -> Iterator[Job]:
        """The jobs, newest first."""
        with self._lock:
            found = list(self._jobs.values())
        return reversed(found)

    def _change(self, job_id: int, **changes: object) -> None:
        with self._lock:
            job = self._jobs.get(job_id)
            if job is not None:
                self._jobs[job_id] = replace(job, **changes)
                self._version += 1

    def _forget_oldest(self) -> None:
        over = next((key for key, job in self._jobs.items() if job.outcome is not None), None)
        if over is None:
            over = next(iter(self._jobs))
        self._jobs.pop(over)
        self._stops.pop(over, None)
