"""The proofs of tests/faults, as `make faults` runs them, each a test of its own.

What each of them is there to find was planted and found: the cheap ones here, with every run;
all of them with `python -m tests.faults --plant all`.
"""

import pytest

from tests.faults import proof as proving
from tests.faults.proof import BrokenPromise, Proof, Tally
from tests.faults.proofs import PROOFS

CHEAP = [(proof, plant) for proof in PROOFS for plant in proof.cheap]


def _skip_where_lacking(proof: Proof) -> None:
    lacking = proof.lacking()
    if lacking is not None:
        pytest.skip(lacking)


@pytest.mark.parametrize("proof", PROOFS, ids=lambda proof: proof.name)
def test_the_promise_is_kept(proof: Proof) -> None:
    _skip_where_lacking(proof)
    print(proving.run(proof, "ci").line)


@pytest.mark.parametrize(
    ("proof", "plant"), CHEAP, ids=[f"{proof.name}-{plant}" for proof, plant in CHEAP]
)
def test_what_is_planted_is_found(proof: Proof, plant: str) -> None:
    _skip_where_lacking(proof)
    print(proving.is_found(proof, plant))


def test_every_proof_can_plant_what_it_is_there_to_find() -> None:
    assert len({proof.name for proof in PROOFS}) == len(PROOFS)
    for proof in PROOFS:
        assert proof.plants
        assert set(proof.cheap) <= set(proof.plants)


@pytest.mark.parametrize(("injected", "checks", "attempts"), [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_a_proof_that_did_nothing_has_failed(injected: int, checks: int, attempts: int) -> None:
    def idle(tally: Tally) -> None:
        tally.attempts = attempts
        tally.checks = checks
        tally.injected["fault"] += injected

    with pytest.raises(BrokenPromise, match="nothing"):
        proving.run(Proof("idle", "none", idle), "ci")


def test_a_proof_ends_when_its_time_is_over_and_tries_once_at_least() -> None:
    assert list(Tally("long", minutes=0).rounds(1, 2, 3)) == [0]
    assert list(Tally("long", minutes=60).rounds(1, 2, 3)) == [0, 1, 2]
    assert list(Tally("ci").rounds(1, 2, 3)) == [0, 1]


def test_a_long_run_says_now_and_then_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tally = Tally("long")
    for number in tally.rounds(1, 1, 3):
        tally.attempts += 1
        monkeypatch.setattr(proving, "_SAY_S", 0.0 if number == 0 else 600.0)
    said = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in said] == ["so far: 1 attempts"]
