"""Slots: which address range and interface name a lab host may have, by locks between processes."""

import fcntl
import os
import tempfile
from pathlib import Path

_SLOTS = 200


class Slot:
    """One free number, held by a file lock until released or the process ends."""

    def __init__(self) -> None:
        self.number, self._descriptor = _take()

    @property
    def ip4(self) -> str:
        """The host's IPv4 address."""
        return f"10.213.{self.number}.2"

    @property
    def ip6(self) -> str:
        """The host's IPv6 address."""
        return f"fd13:{self.number}::2"

    @property
    def veth(self) -> str:
        """The outer end of the host's cable."""
        return f"npvlab{self.number}"

    def release(self) -> None:
        """Give the number back; once is enough."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _take() -> tuple[int, int]:
    directory = Path(tempfile.gettempdir(), "npvirt-lab-slots")
    directory.mkdir(mode=0o700, exist_ok=True)
    for number in range(1, _SLOTS):
        descriptor = os.open(directory / str(number), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        if not Path(f"/sys/class/net/npvlab{number}").exists():
            return number, descriptor
        os.close(descriptor)
    raise RuntimeError("all slots for lab hosts are taken")
