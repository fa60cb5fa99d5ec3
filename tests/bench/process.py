"""What a running npvirt costs: memory with 1,000 domains, time to the first page."""

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.panel import an_admins_token
from tests.ports import free_port

NPVIRT = (sys.executable, "-m", "app.cli")
DOMAINS = 1000

_DOMAIN = """<domain type='test' xmlns:test='http://libvirt.org/schemas/domain/test/1.0'>
<name>vm-{number:04d}</name><uuid>00000000-0000-4000-8000-{number:012d}</uuid>
<memory>65536</memory><vcpu>1</vcpu><os><type>hvm</type></os>
<devices><disk type='file' device='disk'><source file='/var/lib/libvirt/images/{number}.qcow2'/>
<target dev='vda' bus='virtio'/></disk>
<interface type='network'><mac address='52:54:00:00:{high:02x}:{low:02x}'/>
<source network='default'/></interface></devices>
<test:runstate>{state}</test:runstate></domain>"""


def node_file(directory: Path, domains: int) -> Path:
    """A node file for the test driver with `domains` domains, every second one running."""
    path = directory / "node.xml"
    texts = (
        _DOMAIN.format(number=n, high=n // 256, low=n % 256, state=1 if n % 2 else 5)
        for n in range(domains)
    )
    path.write_text("<node>" + "".join(texts) + "</node>")
    return path


@contextmanager
def served(environ: dict[str, str]) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A running `npvirt serve` and its address; ended and reaped afterwards."""
    port = free_port()
    environ = environ | {"NPVIRT_BIND": f"127.0.0.1:{port}"}
    with subprocess.Popen([*NPVIRT, "serve"], env=environ, stdout=subprocess.DEVNULL) as process:
        try:
            yield process, f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def get(url: str, token: str = "") -> bytes | None:
    """The body of `url`, None while nothing answers there."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=10
        ) as answer:
            body: bytes = answer.read()
            return body
    except (urllib.error.URLError, ConnectionError):
        return None


def wait_for(url: str, token: str = "", seconds: float = 60.0) -> bytes:
    """The body of `url` as soon as it answers; raises TimeoutError."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        body = get(url, token)
        if body is not None:
            return body
        time.sleep(0.02)
    raise TimeoutError(url)


def pss_bytes(root: int) -> int:
    """Proportional set size of process `root` and all below it."""
    total, queue = 0, [root]
    while queue:
        process = queue.pop()
        children = Path(f"/proc/{process}/task/{process}/children").read_text()
        queue.extend(int(child) for child in children.split())
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
    return total


def run() -> Iterator[str]:
    """Memory of all processes with 1,000 domains, and time from the command to the first page."""
    with tempfile.TemporaryDirectory() as text:
        directory = Path(text)
        environ = os.environ | {
            "NPVIRT_DATA": str(directory / "var"),
            "NPVIRT_ALLOW_TEST_FILES": "1",
            "NPVIRT_SCAN_SECONDS": "5",
        }
        started = time.monotonic()
        with served(environ | {"NPVIRT_DATA": str(directory / "empty")}) as (_, url):
            wait_for(url + "/")
            yield f"first page of an empty store after {time.monotonic() - started:.2f} s"
        node = node_file(directory, DOMAINS)
        command = [*NPVIRT, "host", "add", "big", "--driver", "test", "--path", str(node)]
        subprocess.run(command, env=environ, check=True, stdout=subprocess.DEVNULL)
        token = an_admins_token(directory / "var")
        started = time.monotonic()
        with served(environ) as (process, url):
            wait_for(url + "/", token)
            took_s = time.monotonic() - started
            yield f"first page with {DOMAINS} domains to come after {took_s:.2f} s"
            while json.loads(wait_for(url + "/api/v1/domains", token))["total"] < DOMAINS:
                time.sleep(0.2)
            for path in (
                "/",
                "/hosts",
                "/domains",
                "/domains?per_page=1000",
                "/pools",
                "/networks",
            ):
                wait_for(url + path, token)
            time.sleep(12)
            megabytes = pss_bytes(process.pid) / 1e6
            yield f"all processes with {DOMAINS} domains, two scans later: {megabytes:.0f} MB PSS"
