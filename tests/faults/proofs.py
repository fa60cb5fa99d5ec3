"""Every proof, the longest first."""

from tests.faults import calls, clocks, kill, libvirtd, overwrites
from tests.faults.proof import Proof

PROOFS: tuple[Proof, ...] = (
    kill.PROOF,
    libvirtd.PROOF,
    clocks.PROOF,
    overwrites.PROOF,
    calls.PROOF,
)
