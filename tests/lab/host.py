"""One lab host: namespaces (mount, uts, net, pid) held by a small init, and what runs in them.

libvirtd, qemu, dnsmasq and sshd live inside and die with the init, which dies with this process.
"""

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from tests.lab.slot import Slot

_ANSWER_S = 120.0
_INIT = r"""
set -e
R=$1
mount -t sysfs sysfs /sys
mkdir -p /etc/libvirt /var/lib/libvirt /var/log/libvirt /var/cache/libvirt /etc/pki /etc/sasl2
mount --bind "$R/etc" /etc/libvirt
mount --bind "$R/pki" /etc/pki
mount --bind "$R/lib" /var/lib/libvirt
mount --bind "$R/log" /var/log/libvirt
mount --bind "$R/cache" /var/cache/libvirt
mount --bind "$R/run" /run
mount --bind "$R/sasl2" /etc/sasl2
mkdir -p /root/.ssh
mount --bind "$R/rootssh" /root/.ssh
[ ! -e "$R/dmidecode" ] || mount --bind "$R/dmidecode" /usr/sbin/dmidecode
for hidden in $3; do mount --bind /dev/null "$hidden"; done
hostname "$2"
ip link set lo up
touch "$R/ready"
while :; do sleep 3600 & wait $!; done
"""

_DIRECTORIES = [
    "etc/qemu/networks/autostart",
    "etc/storage/autostart",
    "etc/nwfilter",
    "etc/secrets",
    "etc/hooks",
    "lib/images",
    "lib/qemu",
    "lib/dnsmasq",
    "run/libvirt",
    "run/lock",
    "run/sshd",
    "log",
    "cache",
    "pki",
    "sasl2",
    "rootssh",
]

_LIBVIRTD_CONF = """unix_sock_group = "root"
unix_sock_rw_perms = "0770"
unix_sock_ro_perms = "0777"
auth_unix_ro = "none"
auth_unix_rw = "none"
host_uuid = "{uuid}"
log_outputs = "2:file:{root}/log/libvirtd.log"
listen_tls = {tls}
listen_tcp = {tcp}
auth_tcp = "{auth_tcp}"
auth_tls = "{auth_tls}"
tcp_port = "{tcp_port}"
tls_port = "{tls_port}"
"""

_QEMU_CONF = """security_driver = "none"
user = "root"
group = "root"
remember_owner = 0
cgroup_controllers = [ ]
namespaces = [ ]
stdio_handler = "file"
"""

_SSHD_CONF = """Port 22
Port 2222
ListenAddress 0.0.0.0
ListenAddress ::
HostKey {root}/hostkey
PidFile {root}/sshd.pid
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
AuthorizedKeysFile .ssh/authorized_keys
UseDNS no
"""


@dataclass(frozen=True)
class Options:
    """What a lab host offers. `sasl` maps users to passwords; `pki` is a directory with the
    server's files (tests/lab/pki.py); `hidden` are programs that the host shall not have.
    """

    tcp: bool = False
    tls: bool = False
    ssh: bool = False
    sasl: Mapping[str, str] = field(default_factory=dict)
    sasl_over_tls: bool = False
    pki: Path | None = None
    dmidecode: str | None = None
    libvirtd: bool = True
    hidden: tuple[str, ...] = ()
    tcp_port: int = 16509
    tls_port: int = 16514
    extra: str = ""


def lab_unavailable() -> str | None:
    """Why no lab host can run here, in a sentence, or None."""
    if os.geteuid() != 0:
        return "The lab needs root to make namespaces."
    for program in ("unshare", "nsenter", "ip", "libvirtd", "qemu-system-x86_64", "sshd"):
        if shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin") is None:
            return f"The lab needs {program}, which is not installed."
    command = ["unshare", "-m", "-u", "-n", "-p", "-f", "true"]
    tried = subprocess.run(command, capture_output=True, check=False)
    return None if tried.returncode == 0 else "This system does not let the lab make namespaces."


def die_with_parent() -> None:
    """To run in a child before it executes: it is killed when its parent dies."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def await_answer(process: subprocess.Popen[bytes], answers: Callable[[], bool], said: Path) -> None:
    """Wait until a libvirtd that was started answers; raises RuntimeError, with the end of what it
    `said` where it ended instead.
    """
    end = time.monotonic() + _ANSWER_S
    while not answers():
        if process.poll() is not None:
            raise RuntimeError(f"libvirtd ended: {said.read_text()[-800:]}")
        if time.monotonic() > end:
            raise RuntimeError(f"libvirtd did not answer within {_ANSWER_S:.0f} s")
        time.sleep(0.01)


class LabHost:
    """A host to connect to; `start` it, `stop` it, or use it in a `with`."""

    def __init__(self, name: str, options: Options | None = None) -> None:
        self.name = name
        self.options = options or Options()
        self.uuid = str(uuid.uuid4())
        self.slot = Slot()
        self.ip4, self.ip6 = self.slot.ip4, self.slot.ip6
        self.root = Path(tempfile.mkdtemp(prefix=f"npvirt-lab-{name}-"))
        self.socket = f"{self.root}/run/libvirt/libvirt-sock"
        self.uri = f"qemu:///system?socket={self.socket}"
        self._holder: subprocess.Popen[bytes] | None = None
        self._libvirtd: subprocess.Popen[bytes] | None = None
        self._init = 0

    def __enter__(self) -> "LabHost":
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    # --- life ------------------------------------------------------------------------------

    def start(self) -> None:
        """Make the namespaces and the cable, start sshd and libvirtd, wait until it answers."""
        self._write_files()
        self._hold_namespaces()
        self._plug_in()
        if self.options.ssh:
            self.run(f"/usr/sbin/sshd -f {self.root}/sshd_config -E {self.root}/log/sshd.log")
        if self.options.libvirtd:
            self.start_libvirtd()

    def stop(self) -> None:
        """End everything inside and remove every trace."""
        if self._init:
            with_pid = self._init
            self._init = 0
            _kill(with_pid, signal.SIGKILL)
        for process in (self._libvirtd, self._holder):
            if process is not None:
                _await_end(process)
        if Path(f"/sys/class/net/{self.slot.veth}").exists():
            subprocess.run(["ip", "link", "del", self.slot.veth], capture_output=True, check=False)
        self._libvirtd = self._holder = None
        self.slot.release()
        self._remove_files()

    def _remove_files(self) -> None:
        # What was killed may still write, or keep something mounted, for a moment.
        for _ in range(100):
            shutil.rmtree(self.root, ignore_errors=True)
            if not self.root.exists():
                return
            time.sleep(0.05)

    def start_libvirtd(self) -> None:
        """Start libvirtd and wait until it answers; raises RuntimeError."""
        if self._libvirtd is not None:
            # Of one that was killed, nothing but its end is left to take note of.
            _await_end(self._libvirtd)
        listen = ["--listen"] if self.options.tcp or self.options.tls else []
        command = ["libvirtd", *listen, "-f", "/etc/libvirt/libvirtd.conf"]
        with (self.root / "log/stdout").open("ab") as output:
            self._libvirtd = subprocess.Popen(
                [*self._enter(), *command, "-p", f"{self.root}/libvirtd.pid"],
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                start_new_session=True, preexec_fn=die_with_parent,
            )  # fmt: skip
        await_answer(self._libvirtd, self._answers, self.root / "log/stdout")

    def stop_libvirtd(self) -> None:
        """End libvirtd as an admin would; domains go on."""
        self.kill("TERM")
        if self._libvirtd is not None:
            _await_end(self._libvirtd)

    def kill(self, name: str) -> None:
        """Send libvirtd the signal of that name: TERM, KILL, STOP or CONT."""
        pid = (self.root / "libvirtd.pid").read_text().strip()
        self.run(f"kill -{name} {pid}")
        if name == "CONT" and self._libvirtd is not None:
            _kill(self._libvirtd.pid, signal.SIGCONT)

    # --- doing things inside ---------------------------------------------------------------

    def run(self, command: str) -> str:
        """Run a shell command inside; its output. Raises RuntimeError with what it said."""
        return self._inside("/bin/bash", "-c", command)

    def virsh(self, *arguments: str) -> str:
        """Run virsh inside; its output."""
        return self._inside("virsh", "-q", *arguments)

    def _inside(self, *command: str) -> str:
        done = subprocess.run(
            [*self._enter(), *command], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} on {self.name}: {done.stderr.strip()}")
        return done.stdout

    def known_hosts(self, path: Path) -> Path:
        """Write a known_hosts file that trusts this host at all its addresses and ports."""
        public = " ".join((self.root / "hostkey.pub").read_text().split()[:2])
        names = (self.ip4, self.ip6, f"[{self.ip4}]:2222", f"[{self.ip6}]:2222")
        path.write_text("".join(f"{name} {public}\n" for name in names))
        return path

    @property
    def user_key(self) -> Path:
        """The private key that root on this host accepts."""
        return self.root / "userkey"

    # --- the parts of a start --------------------------------------------------------------

    def _write_files(self) -> None:
        options = self.options
        for directory in _DIRECTORIES:
            (self.root / directory).mkdir(parents=True, exist_ok=True)
        self.root.chmod(0o755)
        (self.root / "etc/libvirtd.conf").write_text(
            _LIBVIRTD_CONF.format(
                uuid=self.uuid, root=self.root, tls=int(options.tls), tcp=int(options.tcp),
                auth_tcp="sasl" if options.sasl and not options.sasl_over_tls else "none",
                auth_tls="sasl" if options.sasl_over_tls else "none",
                tcp_port=options.tcp_port, tls_port=options.tls_port,
            )
            + options.extra
        )  # fmt: skip
        (self.root / "etc/qemu.conf").write_text(_QEMU_CONF)
        if options.pki is not None:
            shutil.copytree(options.pki, self.root / "pki", dirs_exist_ok=True)
        if options.sasl:
            self._write_sasl()
        if options.ssh:
            self._write_ssh()
        if options.dmidecode is not None:
            stub = self.root / "dmidecode"
            stub.write_text(f"#!/bin/sh\ncat <<'END'\n{options.dmidecode}\nEND\n")
            stub.chmod(0o755)

    def _write_sasl(self) -> None:
        (self.root / "sasl2/libvirt.conf").write_text(
            "mech_list: digest-md5\nsasldb_path: /etc/libvirt/passwd.db\n"
        )
        for user, password in self.options.sasl.items():
            subprocess.run(
                ["saslpasswd2", "-p", "-c", "-a", "libvirt", "-u", self.name,
                 "-f", f"{self.root}/etc/passwd.db", user],
                input=password.encode(), check=True, capture_output=True,
            )  # fmt: skip

    def _write_ssh(self) -> None:
        for name in ("hostkey", "userkey"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", self.root / name],
                check=True,
            )
        shutil.copy(self.root / "userkey.pub", self.root / "rootssh/authorized_keys")
        (self.root / "rootssh").chmod(0o700)
        (self.root / "sshd_config").write_text(_SSHD_CONF.format(root=self.root))

    def _hold_namespaces(self) -> None:
        with (self.root / "log/holder").open("wb") as output:
            self._holder = subprocess.Popen(
                ["unshare", "-m", "-u", "-n", "-p", "-f", "--kill-child", "--mount-proc",
                 "/bin/bash", "-c", _INIT, "lab-init", str(self.root), self.name,
                 " ".join(self.options.hidden)],
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                start_new_session=True, preexec_fn=die_with_parent,
            )  # fmt: skip
        ready = self.root / "ready"
        while not ready.exists():
            if self._holder.poll() is not None:
                raise RuntimeError((self.root / "log/holder").read_text())
            time.sleep(0.005)
        pid = self._holder.pid
        self._init = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])

    def _plug_in(self) -> None:
        number, veth = self.slot.number, self.slot.veth
        for command in (
            f"ip link add {veth} type veth peer name mgmt0 netns {self._init}",
            # It has addresses enough; each one that comes disturbs whoever else is on this machine.
            f"ip link set {veth} addrgenmode none",
            f"ip addr add 10.213.{number}.1/24 dev {veth}",
            f"ip -6 addr add fd13:{number}::1/64 dev {veth} nodad",
            f"ip link set {veth} up",
        ):
            subprocess.run(command.split(), check=True, capture_output=True)
        self.run(
            f"ip addr add {self.ip4}/24 dev mgmt0; ip -6 addr add {self.ip6}/64 dev mgmt0 nodad; "
            "ip link set mgmt0 up"
        )

    def _enter(self) -> list[str]:
        # -r: its root too, which in a chroot is not that of the mount namespace.
        return ["nsenter", "-t", str(self._init), "-m", "-u", "-n", "-p", "-r", "-w", "--"]

    def _answers(self) -> bool:
        if not Path(self.socket).exists():
            return False
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(self.socket)
            except OSError:
                return False
        command = ["virsh", "-q", "-c", self.uri, "hostname"]
        tried = subprocess.run(command, capture_output=True, check=False)
        return tried.returncode == 0


def _await_end(process: subprocess.Popen[bytes]) -> None:
    """Wait until nsenter has ended, whose child has. After a SIGSTOP of the child it stops itself
    as well, at a moment of its own: told to go on too early, it stops all the same.
    """
    for _ in range(60):
        _kill(process.pid, signal.SIGCONT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.25)
            return
    raise RuntimeError(f"the process {process.pid} does not end")


def _kill(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
