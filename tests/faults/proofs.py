"""Every proof, in the order in which they are run."""

from tests.faults import calls
from tests.faults.proof import Proof

PROOFS: tuple[Proof, ...] = (calls.PROOF,)
