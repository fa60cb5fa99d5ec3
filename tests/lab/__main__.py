"""`make lab`: four real libvirt hosts on this machine, and npvirt looking at them.

While it runs, type `stop kvm-03` or `start kvm-03` to end and start the libvirt of one host and
see what the panel says; Ctrl-C (or the end of the input, without a terminal: SIGTERM) ends it all.
"""

import argparse
import os
import secrets
import selectors
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.lab.fleet import Member, fleet, register
from tests.lab.host import die_with_parent, lab_unavailable


def main() -> int:
    """Run the lab until it is interrupted; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, prog="make lab")
    parser.add_argument("--hosts", type=int, choices=(1, 2, 3, 4), default=4)
    parser.add_argument("--no-panel", action="store_true", help="only the hosts")
    arguments = parser.parse_args()
    reason = lab_unavailable()
    if reason is not None:
        print(f"make lab: {reason}", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        print("Starting the hosts of the lab (the first time builds a small guest) …", flush=True)
        with fleet(arguments.hosts) as members, tempfile.TemporaryDirectory() as data:
            for member in members:
                print(f"  {member.host.name}  npvirt host add … {' '.join(member.reach)}")
            if arguments.no_panel:
                _attend(members, None)
            else:
                _with_panel(members, Path(data))
    except KeyboardInterrupt:
        print("\nThe lab is gone.")
    return 0


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _with_panel(members: list[Member], data: Path) -> None:
    environ = {"NPVIRT_SCAN_SECONDS": "5", **os.environ, "NPVIRT_DATA": str(data)}
    register(members, environ)
    _add_user(data, environ)
    panel = subprocess.Popen(
        [sys.executable, "-m", "app.cli", "serve"], env=environ, preexec_fn=die_with_parent
    )
    try:
        _attend(members, panel)
    finally:
        panel.terminate()
        panel.wait(15)


def _add_user(data: Path, environ: dict[str, str]) -> None:
    """The lab's own admin, so that nobody has to look for the set-up link."""
    password = secrets.token_urlsafe(9)
    file = data / "lab-password"
    file.write_text(password)
    subprocess.run(
        [sys.executable, "-m", "app.cli", "user", "add", "lab", "--role", "admin",
         "--password-file", str(file)],
        env=environ, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    file.unlink()
    print(f"Sign in as “lab” with the password {password}", flush=True)


def _attend(members: list[Member], panel: subprocess.Popen[bytes] | None) -> None:
    """Obey what is typed until the panel ends or the lab is interrupted."""
    hosts = {member.host.name: member.host for member in members}
    print("Type “stop NAME” or “start NAME”; Ctrl-C ends the lab.", flush=True)
    with selectors.DefaultSelector() as selector:
        listening = _listen(selector)
        while panel is None or panel.poll() is None:
            if not selector.select(timeout=1.0) or not listening:
                continue
            line = sys.stdin.readline()
            if not line:
                selector.unregister(sys.stdin)
                listening = False
                continue
            verb, _, name = line.strip().partition(" ")
            if name in hosts and verb == "stop":
                hosts[name].stop_libvirtd()
            elif name in hosts and verb == "start":
                hosts[name].start_libvirtd()
            elif line.strip():
                print(f"“stop NAME” or “start NAME”, with one of {', '.join(hosts)}.")


def _listen(selector: selectors.BaseSelector) -> bool:
    """Wait for the standard input, unless it is a file or closed."""
    try:
        selector.register(sys.stdin, selectors.EVENT_READ)
    except (PermissionError, ValueError):
        # epoll takes no regular files: without a terminal the lab just runs.
        selector.register(os.pipe()[0], selectors.EVENT_READ)
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
