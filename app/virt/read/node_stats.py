"""A host's CPU and memory counters by one call each.

libvirt's own binding asks how many counters there are before each reading, which is another call
on the wire; here that is asked once. Owns these two entries of libvirt's C interface and nothing
else; errors are raised as the binding raises them.
"""

import ctypes
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import libvirt

from app.errors import VirtError

if TYPE_CHECKING:
    from app.virt.read.look import Look


class _Counter(ctypes.Structure):
    """virNodeCPUStats, and virNodeMemoryStats, which is laid out alike (libvirt-host.h)."""

    _fields_ = (("field", ctypes.c_char * 80), ("value", ctypes.c_ulonglong))


# How many counters the host has, and those that were read.
_Told = tuple[int, dict[str, int]]
# An open connection, and for how many counters there is room.
_Ask = Callable[[libvirt.virConnect, int], _Told]

# libvirt's own protocol carries sixteen of a kind (remote_protocol.x).
_MOST = 64

# The very library that the binding has loaded.
_library = ctypes.CDLL("libvirt.so.0")
_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype = ctypes.c_void_p
_pointer.argtypes = (ctypes.py_object, ctypes.c_char_p)
_prototype = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_Counter), ctypes.POINTER(ctypes.c_int),
    ctypes.c_uint,
)  # fmt: skip
_ENTRIES = {
    name: _prototype((name, _library)) for name in ("virNodeGetCPUStats", "virNodeGetMemoryStats")
}


class NodeStats:
    """Reads the counters of one kind again and again."""

    def __init__(self, ask: _Ask) -> None:
        self._ask = ask
        # How many there are; 0 before that is known, and again after an error.
        self._count = 0

    def read(self, look: "Look") -> dict[str, int]:
        """The counters by libvirt's names for them; raises VirtError."""
        count, self._count = self._count, 0
        if not count:
            count, _ = look.call(self._ask, look.connection, 0)
            if not 0 <= count <= _MOST:
                raise VirtError("failed", f"The host claims to have {count} counters.")
        self._count, found = look.call(self._ask, look.connection, count)
        return found


def cpu_stats(connection: libvirt.virConnect, room: int) -> _Told:
    """The counters of all CPUs together, in nanoseconds; raises libvirtError. Without `room` it
    tells only how many there are; else that must be the number of them.
    """
    return _read("virNodeGetCPUStats", connection, libvirt.VIR_NODE_CPU_STATS_ALL_CPUS, room)


def memory_stats(connection: libvirt.virConnect, room: int) -> _Told:
    """The counters of all NUMA nodes together, in KiB; else as `cpu_stats`."""
    cells = libvirt.VIR_NODE_MEMORY_STATS_ALL_CELLS
    return _read("virNodeGetMemoryStats", connection, cells, room)


def _read(name: str, connection: Any, which: int, room: int) -> _Told:
    counters, number = (_Counter * room)(), ctypes.c_int(room)
    # What was closed has none; libvirt then says so.
    capsule = connection._o
    pointer = None if capsule is None else _pointer(capsule, b"virConnectPtr")
    if _ENTRIES[name](pointer, which, counters if room else None, ctypes.byref(number), 0) < 0:
        raise libvirt.libvirtError(f"{name}() failed")
    told = counters[: min(room, number.value)]
    return number.value, {one.field.decode(errors="replace"): one.value for one in told}
