"""Ports of this machine for servers that tests start."""

import random
import socket

# Beneath those that the kernel hands out by itself (from 32768 on Linux): between the look and the
# server's start nobody is given one of these by chance.
_PORTS = range(10_000, 32_000)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on at the moment."""
    while True:
        port = random.choice(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
