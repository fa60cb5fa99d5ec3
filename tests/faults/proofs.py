"""Every proof, the longest first."""

from tests.faults import calls, clocks, crowd, disk, fleet, kill, libvirtd, overwrites, soak
from tests.faults.proof import Proof

PROOFS: tuple[Proof, ...] = (
    fleet.PROOF,
    soak.PROOF,
    kill.PROOF,
    disk.PROOF,
    libvirtd.PROOF,
    clocks.PROOF,
    crowd.PROOF,
    calls.PROOF,
    overwrites.PROOF,
)
