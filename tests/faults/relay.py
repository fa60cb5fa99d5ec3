"""A relay between npvirt and a libvirt daemon that does what sick hosts and networks do.

All relays of a process share one thread. What each of them is told to do (`Sickness`) holds for
the connections that stand as well as for new ones. Nothing here knows npvirt.
"""

import asyncio
import contextlib
import socket
import struct
import threading
from collections import Counter
from collections.abc import Coroutine
from typing import Any, Literal

# "well": passes everything on. "stopped": new connections are taken by the kernel alone, nothing
# moves. "blackholed": the same, and who calls gets no answer at all. "dripping": a byte at a time.
# "slow": every answer comes two seconds late. "closing": connections end as soon as they stand.
Sickness = Literal["well", "stopped", "blackholed", "dripping", "slow", "closing"]
SICKNESSES: tuple[Sickness, ...] = ("stopped", "blackholed", "dripping", "slow", "closing")

SLOW_S = 2.0
_DRIP_S = 0.05
_BLOCK = 65_536
_BACKLOG = 16
_CALL = 0
_HEADER = struct.Struct(">IIIIiII")

# A call on the wire: program, procedure, and the how-manieth of that procedure on its connection.
Call = tuple[int, int, int]


class Loop:
    """The thread in which relays run."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="relays", daemon=True)
        self._thread.start()

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Do something in the thread, and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def close(self) -> None:
        """End it; relays are to be closed before."""
        self.do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        mine = asyncio.current_task()
        tasks = [task for task in asyncio.all_tasks() if task is not mine]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class FaultRelay:
    """One host's address: a port of 127.0.0.1, passed on to `upstream` (another one)."""

    def __init__(self, loop: Loop, upstream: int) -> None:
        self._loop = loop
        self._upstream = upstream
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self._listener.listen(_BACKLOG)
        self.port: int = self._listener.getsockname()[1]
        self.sickness: Sickness = "well"
        # How often something was really held up, dripped, delayed or closed.
        self.injected: Counter[str] = Counter()
        # The calls that went past on the first connection, and the one that shall never arrive.
        self.calls: list[Call] = []
        self.swallow: Call | None = None
        self._fillers: list[socket.socket] = []
        self._streams: set[socket.socket] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections = 0
        loop.do(self._start())

    def set(self, sickness: Sickness) -> None:
        """Be like that from now on."""
        self._loop.do(self._set(sickness))

    def begin(self) -> None:
        """Count calls and connections anew."""
        self._loop.do(self._begin())

    def close(self) -> None:
        """End all connections and listen no more."""
        self._loop.do(self._close())

    # --- in the loop ------------------------------------------------------------------------

    async def _start(self) -> None:
        self._changed = asyncio.Event()
        self._spawn(self._accept())

    async def _begin(self) -> None:
        self._connections = 0
        self.calls = []

    async def _set(self, sickness: Sickness) -> None:
        before, self.sickness = self.sickness, sickness
        if sickness == "blackholed":
            self._fill()
        elif before == "blackholed":
            for filler in self._fillers:
                filler.close()
            self._fillers.clear()
            self._listener.listen(_BACKLOG)
        if sickness == "closing":
            self._cut_all()
        self._changed.set()
        self._changed = asyncio.Event()

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for filler in self._fillers:
            filler.close()
        self._cut_all()
        self._listener.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _fill(self) -> None:
        """Have the kernel drop whoever calls: the queue of those not yet accepted is full."""
        self._listener.listen(0)
        for _ in range(3):
            filler = socket.socket()
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect(("127.0.0.1", self.port))
            self._fillers.append(filler)

    def _cut_all(self) -> None:
        for stream in list(self._streams):
            with contextlib.suppress(OSError):
                stream.shutdown(socket.SHUT_RDWR)
                self.injected["closing"] += 1

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            while self.sickness in ("stopped", "blackholed"):
                await self._changed.wait()
            client, _ = await loop.sock_accept(self._listener)
            client.setblocking(False)
            if self.sickness == "closing":
                self.injected["closing"] += 1
                client.close()
                continue
            self._connections += 1
            self._spawn(self._connect(client, first=self._connections == 1))

    async def _connect(self, client: socket.socket, *, first: bool) -> None:
        loop = asyncio.get_running_loop()
        server = socket.socket()
        server.setblocking(False)
        pair = {client, server}
        self._streams |= pair
        try:
            await loop.sock_connect(server, ("127.0.0.1", self._upstream))
            for stream in pair:
                stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            filtering = _Packets(self) if first else None
            both = [
                loop.create_task(self._copy(client, server, filtering)),
                loop.create_task(self._copy(server, client, None)),
            ]
            try:
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for one in both:
                    one.cancel()
                await asyncio.gather(*both, return_exceptions=True)
        except OSError:
            # The daemon is not there: whoever called is told by the closing below.
            pass
        finally:
            self._streams -= pair
            client.close()
            server.close()

    async def _copy(
        self, source: socket.socket, sink: socket.socket, packets: "_Packets | None"
    ) -> None:
        loop = asyncio.get_running_loop()
        answers = packets is None
        with contextlib.suppress(OSError):
            while data := await loop.sock_recv(source, _BLOCK):
                if packets is not None:
                    data = packets.passed(data)
                await self._pass_on(sink, data, answers=answers)

    async def _pass_on(self, sink: socket.socket, data: bytes, *, answers: bool) -> None:
        loop = asyncio.get_running_loop()
        while self.sickness in ("stopped", "blackholed"):
            self.injected[self.sickness] += 1
            await self._changed.wait()
        if self.sickness == "slow" and answers:
            self.injected["slow"] += 1
            await self._sleep(SLOW_S)
        while self.sickness == "dripping" and data:
            self.injected["dripping"] += 1
            await loop.sock_sendall(sink, data[:1])
            data = data[1:]
            await self._sleep(_DRIP_S)
        if data:
            await loop.sock_sendall(sink, data)

    async def _sleep(self, seconds: float) -> None:
        """Wait, but no longer than until it is told to be otherwise."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), seconds)


class _Packets:
    """Counts the calls of one connection, and lets the one vanish that shall not arrive."""

    def __init__(self, relay: FaultRelay) -> None:
        self._relay = relay
        self._waiting = bytearray()
        self._counts: Counter[tuple[int, int]] = Counter()

    def passed(self, data: bytes) -> bytes:
        """What of the stream goes on, in whole packets."""
        self._waiting += data
        out = bytearray()
        while len(self._waiting) >= _HEADER.size:
            length, program, _, procedure, kind, _, _ = _HEADER.unpack_from(self._waiting)
            if len(self._waiting) < length:
                break
            packet = self._waiting[:length]
            del self._waiting[:length]
            if kind != _CALL or self._arrives(program, procedure):
                out += packet
        return bytes(out)

    def _arrives(self, program: int, procedure: int) -> bool:
        self._counts[program, procedure] += 1
        call = (program, procedure, self._counts[program, procedure])
        self._relay.calls.append(call)
        if call != self._relay.swallow:
            return True
        self._relay.injected["hang"] += 1
        return False
