"""Guests: a tiny one that is only firmware, and one that talks (Linux with the guest agent).

The talking guest's kernel and agent come from Debian's packages and are built once into a cache.
"""

import gzip
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

_MODULES = ("virtio_pci", "virtio_console", "virtio_net", "virtio_blk", "virtio_balloon")

_DIRECTORIES = [
    "bin", "sbin", "usr/sbin", "lib/x86_64-linux-gnu", "lib64", "dev", "proc", "sys", "etc", "run",
    "var/run", "tmp", "m",
]  # fmt: skip

_INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin:/sbin:/usr/sbin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
mkdir -p /dev/pts; mount -t devpts devpts /dev/pts; mount -t tmpfs tmp /run
for m in $(cat /m/order); do insmod /m/$m 2>/dev/null; done
hostname talking-guest
printf 'PRETTY_NAME="Tiny Linux 1"\\nNAME="Tiny"\\nID=tiny\\nVERSION_ID="1"\\n' >/etc/os-release
echo 'root:x:0:0:root:/root:/bin/sh' >/etc/passwd
ip link set lo up; ip link set eth0 up; ip addr add 192.168.122.77/24 dev eth0
for i in 1 2 3 4 5 6 7 8 9 10; do
  for p in /sys/class/virtio-ports/*; do
    [ "$(cat $p/name 2>/dev/null)" = org.qemu.guest_agent.0 ] && PORT=/dev/${p##*/}
  done
  [ -n "$PORT" ] && break; sleep 0.2
done
mkdir -p /run/qga /var/run /usr/var/run /var/log
while :; do qemu-ga -m virtio-serial -p $PORT -t /run/qga -l /run/qga.log -f /run/qga.pid; sleep 1
done
"""


def tiny_guest_xml(
    name: str,
    uuid: str,
    *,
    title: str = "",
    description: str = "",
    disks: str = "",
    network: str = "default",
    mac: str = "",
    vnc: bool = True,
    memory_mib: int = 16,
    vcpus: int = 1,
    more: str = "",
) -> str:
    """A guest that is only firmware: starts in half a second and needs next to nothing."""
    address = f"<mac address='{mac}'/>" if mac else ""
    graphics = "<graphics type='vnc' autoport='yes' listen='127.0.0.1'/>" if vnc else ""
    nic = f"<interface type='network'>{address}<source network='{network}'/></interface>"
    return f"""<domain type='qemu'><name>{name}</name><uuid>{uuid}</uuid>
{f"<title>{title}</title>" if title else ""}
{f"<description>{description}</description>" if description else ""}
<memory unit='MiB'>{memory_mib}</memory><vcpu>{vcpus}</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type>{more}</os>
<features><acpi/></features>
<devices>{disks}{nic if network else ""}{graphics}</devices></domain>"""


def disk_xml(source: Path, target: str = "vda", driver: str = "qcow2") -> str:
    """A disk of a domain in a file."""
    return (
        f"<disk type='file' device='disk'><driver name='qemu' type='{driver}'/>"
        f"<source file='{source}'/><target dev='{target}' bus='virtio'/></disk>"
    )


def talking_guest_xml(name: str, uuid: str, image: Path) -> str:
    """The guest with an agent; `image` is what `talking_guest` made."""
    return f"""<domain type='qemu'><name>{name}</name><uuid>{uuid}</uuid>
<title>The guest that talks</title><memory unit='MiB'>128</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type><kernel>{image}/vmlinuz</kernel>
<initrd>{image}/initrd.gz</initrd><cmdline>console=ttyS0 rdinit=/init quiet panic=-1 tsc=unstable
lpj=1000000 random.trust_cpu=on</cmdline></os><features><acpi/></features>
<devices><interface type='network'><mac address='52:54:00:7a:1c:01'/><source network='default'/>
<model type='virtio'/></interface>
<serial type='pty'/><channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/>
</channel><memballoon model='virtio'><stats period='1'/></memballoon>
<graphics type='vnc' autoport='yes' listen='127.0.0.1'/></devices></domain>"""


def talking_guest() -> Path:
    """A directory with vmlinuz and initrd.gz, built at first need into the user's cache."""
    base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "npvirt-lab")
    image = base / "guest-1"
    if (image / "initrd.gz").exists():
        return image
    base.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=base) as text:
        work = Path(text)
        _download(work)
        built = work / "image"
        built.mkdir()
        _build(work, built)
        if not image.exists():
            built.rename(image)
    return image


def _download(work: Path) -> None:
    """Unpack the current cloud kernel into work/k and the agent into work/ga."""
    kernel = _kernel_package()
    for package, target in ((kernel, "k"), ("qemu-guest-agent", "ga")):
        subprocess.run(
            ["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", package],
            cwd=work, check=True, capture_output=True,
        )  # fmt: skip
        (deb,) = work.glob(f"{package}_*.deb")
        subprocess.run(["dpkg-deb", "-x", deb, work / target], check=True)


def _kernel_package() -> str:
    for attempt in range(2):
        shown = subprocess.run(
            ["apt-cache", "depends", "linux-image-cloud-amd64"],
            capture_output=True, text=True, check=False,
        ).stdout  # fmt: skip
        found = re.search(r"linux-image-\d\S*cloud-amd64", shown)
        if found:
            return found.group()
        if attempt == 0:
            subprocess.run(["apt-get", "update", "-qq"], check=True, capture_output=True)
    raise RuntimeError("Debian's cloud kernel is not in the package lists")


def _build(work: Path, built: Path) -> None:
    root = work / "initrd"
    for directory in [
        "bin",
        "sbin",
        "usr/sbin",
        "lib/x86_64-linux-gnu",
        "lib64",
        "dev",
        "proc",
        "sys",
        "etc",
        "run",
        "var/run",
        "tmp",
        "m",
    ]:
        (root / directory).mkdir(parents=True)
    (kernel,) = (work / "k/boot").glob("vmlinuz-*")
    shutil.copy(kernel, built / "vmlinuz")
    shutil.copy("/bin/busybox", root / "bin/busybox")
    agent = work / "ga/usr/sbin/qemu-ga"
    shutil.copy(agent, root / "usr/sbin/qemu-ga")
    linked = subprocess.run(["ldd", agent], capture_output=True, text=True, check=True).stdout
    for library in re.findall(r"=> (/\S+)", linked):
        shutil.copy(library, root / "lib/x86_64-linux-gnu")
    shutil.copy("/lib64/ld-linux-x86-64.so.2", root / "lib64")
    _copy_modules(work / "k", kernel.name.removeprefix("vmlinuz-"), root / "m")
    (root / "init").write_text(_INIT)
    (root / "init").chmod(0o755)
    files = "\n".join(str(path.relative_to(root)) for path in (root, *root.rglob("*")))
    packed = subprocess.run(
        ["cpio", "-o", "-H", "newc", "--quiet"], cwd=root, input=files.encode(),
        capture_output=True, check=True,
    ).stdout  # fmt: skip
    (built / "initrd.gz").write_bytes(gzip.compress(packed, 1))


def _copy_modules(tree: Path, version: str, target: Path) -> None:
    """The modules that the guest needs, and their order."""
    subprocess.run(["depmod", "-b", tree, version], check=False, capture_output=True)
    order: list[str] = []
    for module in _MODULES:
        shown = subprocess.run(
            ["modprobe", "-d", tree, "-S", version, "--show-depends", module],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        for path in re.findall(r"insmod (\S+)", shown):
            if Path(path).name not in order:
                shutil.copy(path, target)
                order.append(Path(path).name)
    (target / "order").write_text("\n".join(order))
