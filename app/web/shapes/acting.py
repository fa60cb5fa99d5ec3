"""The shapes of what actions answer, of the long work that they begin, and of many at once."""

from typing import Annotated

from msgspec import Meta, Struct

from app.web.shapes.common import Page, Shape, Time
from app.web.shapes.fleet import Domain, Network, Pool, Volume


class Audited(Shape):
    """What the audit says of an action; `outcome` null: it goes on."""

    id: int | None
    outcome: Annotated[
        str | None, Meta(extra_json_schema={"enum": ["ok", "failed", "unknown", "refused", None]})
    ]
    sentence: str | None


class _Done(Shape):
    audit: Audited


class DomainDone(_Done):
    """A VM after an action; null when it is gone."""

    item: Domain | None


class PoolDone(_Done):
    """A storage pool after an action; null when it is gone."""

    item: Pool | None


class VolumeDone(_Done):
    """A volume after an action; null when it is gone."""

    item: Volume | None


class NetworkDone(_Done):
    """A network after an action; null when it is gone."""

    item: Network | None


class JobAddress(Shape):
    """Where to ask how far it has come."""

    id: int
    url: str


class Begun(_Done):
    """An action that goes on."""

    job: JobAddress


class ScanAsked(Shape):
    """A scan that was asked for."""

    host: str
    asked: bool
    url: str


# --- jobs ----------------------------------------------------------------------------------------


JOB_STATES = ("running", "stopping", "ok", "failed", "unknown", "refused")


class Job(Shape):
    """Long work that goes on, or is over: `state` is then its outcome."""

    id: int
    action: str
    kind: str
    host: str
    key: str
    name: str
    who: str
    state: Annotated[str, Meta(extra_json_schema={"enum": list(JOB_STATES)})]
    done_bytes: int | None
    total_bytes: int | None
    started_at: Time
    ended_at: Time | None
    sentence: str | None
    # Whether DELETE can stop it.
    stoppable: bool
    url: str


class Jobs(Page):
    """The long work of this process, newest first."""

    items: list[Job]


# --- many at once --------------------------------------------------------------------------------


class WantedOne(Struct, forbid_unknown_fields=True):
    """A VM of many, and the state that you saw it in."""

    host: str
    uuid: str
    expect_state: str


class WantedMany(Struct, forbid_unknown_fields=True):
    """Many VMs; `confirm` is how many, where the action asks for a name."""

    items: Annotated[list[WantedOne], Meta(min_length=1, max_length=200)]
    request_id: str
    confirm: str = ""


class OneDone(_Done):
    """What came of one VM of many."""

    host: str
    uuid: str
    name: str | None


class ManyDone(Shape):
    """What came of each."""

    items: list[OneDone]
