"""Whether domains that have snapshots have more or fewer of them than was read.

libvirt tells nothing of snapshots, and its lists only whether a domain has any. Owns whose number
is asked in which scan: a few in each, so that the few that most hosts have are asked in every one.
Reads no snapshot itself.
"""

import math
from collections.abc import Mapping

from app.errors import VirtError
from app.virt.read.listing import Listed
from app.virt.read.look import Look

# So many calls on the wire a scan takes for it.
MOST_ASKED = 8


class SnapshotCounts:
    """Remembers when each domain's number was asked for last."""

    def __init__(self) -> None:
        self._asked_s: dict[str, float] = {}

    def changed(self, look: Look, known: Mapping[str, tuple[Listed, int]]) -> set[str]:
        """Which of these domains (by UUID: the domain, and how many snapshots of it are known)
        have another number now, of those whose turn it is; raises VirtError when the host is lost.
        """
        turn = sorted(known, key=lambda uuid: (self._asked_s.get(uuid, -math.inf), uuid))
        self._asked_s = {uuid: self._asked_s[uuid] for uuid in turn if uuid in self._asked_s}
        return {uuid for uuid in turn[:MOST_ASKED] if self._differs(look, *known[uuid])}

    def _differs(self, look: Look, domain: Listed, count: int) -> bool:
        self._asked_s[domain.uuid] = look.now_s
        try:
            return bool(look.call(domain.handle.snapshotNum, 0) != count)
        except VirtError as error:
            look.note_error("domain snapshots", error)
            return False
