"""The long work of this process as a list of the API."""

from app.actions.jobs import Job
from app.clock import now_ms
from app.moments import parse_moment
from app.store.hosts import list_hosts
from tests.signing import bearer
from tests.web_support import HOSTILE, Web


def _begin(web: Web) -> None:
    """Three jobs on two hosts: one goes on, one was asked to stop, one is over."""
    jobs = web.app.extensions["npvirt"].performer.jobs
    ids = {record.slug: record.id for record in list_hosts(web.store)}
    for number, slug in ((1, "kvm-01"), (2, "kvm-02"), (3, "kvm-01")):
        name = HOSTILE if number == 3 else f"vol-{number}"
        jobs.begin(
            Job(number, "vol-wipe", "Wipe", "volume", ids[slug], slug, "k", name, "ada",
                1_700_000_000_000 + number, stoppable=True),
            lambda: None,
        )  # fmt: skip
    jobs.stop(2)
    jobs.end(1, "failed", "No space left.", 1_700_000_009_000)


def test_jobs_are_listed_narrowed_sorted_and_paged(web: Web) -> None:
    _begin(web)
    before_ms = now_ms()
    told = web.client.get("/api/v1/jobs").get_json()
    # Known as of now, whenever the last scan was.
    assert parse_moment("as_of", told["as_of"]) >= before_ms
    assert [(one["id"], one["state"]) for one in told["items"]] == [
        (3, "running"), (2, "stopping"), (1, "failed"),
    ]  # fmt: skip
    assert {state for state, count in told["counts"].items() if count} == {
        "running", "stopping", "failed",
    }  # fmt: skip
    assert set(told["scans"]) == {"kvm-01", "kvm-02", "kvm-03"}
    own = web.client.get("/api/v1/jobs?host=kvm-01&sort=started").get_json()
    assert ([one["id"] for one in own["items"]], set(own["scans"])) == ([1, 3], {"kvm-01"})
    assert web.client.get("/api/v1/jobs?state=failed").get_json()["items"][0]["id"] == 1
    assert web.client.get("/api/v1/jobs?per_page=1&page=2").get_json()["items"][0]["id"] == 2
    assert web.client.get("/api/v1/jobs?q=vol-2").get_json()["total"] == 1
    assert web.client.get("/api/v1/jobs?host=kvm-09").status_code == 422
    lines = web.text("/api/v1/jobs?format=csv").splitlines()
    assert lines[3].startswith("1,vol-wipe,volume,kvm-01,k,vol-1,ada,failed,")


def test_jobs_on_hosts_out_of_scope_are_not_listed(web: Web) -> None:
    _begin(web)
    nobody = web.app.test_client()
    told = nobody.get("/api/v1/jobs", headers=bearer(web.store, "viewer", ["kvm-02"]))
    assert [one["id"] for one in told.get_json()["items"]] == [2]
    assert "kvm-01" not in told.text
