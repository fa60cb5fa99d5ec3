"""Every action that npvirt can do to a host, declared once.

Pure values. An `Action` says who may do it, in which states, what it asks first, what becomes of
data, and which parameters it takes. app/virt/verbs does it, app/actions/perform.py sees to it.
Names are virsh's.
"""

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

from app.access import Role
from app.actions.parameters import Parameter
from app.inventory import Domain

ObjectKind = Literal["domain", "pool", "volume", "network", "snapshot"]
Confirm = Literal["no", "ask", "name"]

PLURALS: Mapping[ObjectKind, str] = {
    "domain": "domains", "pool": "pools", "volume": "volumes", "network": "networks",
    "snapshot": "snapshots",
}  # fmt: skip
NOUNS: Mapping[ObjectKind, str] = {
    "domain": "VM", "pool": "pool", "volume": "volume", "network": "network",
    "snapshot": "snapshot",
}  # fmt: skip


class Action(Struct, frozen=True):
    """One action on one kind of object.

    `states`: in which it is possible (of a volume: of its pool; of a snapshot: of its domain);
    None: any. `confirm` "name": the object's name must be typed (see `must_type`). `says`: what
    it means and what becomes of data. `long`: it may take minutes, so it becomes a job.
    """

    kind: ObjectKind
    name: str
    label: str
    icon: str
    role: Role
    says: str
    states: tuple[str, ...] | None = None
    confirm: Confirm = "no"
    parameters: tuple[Parameter, ...] = ()
    long: bool = False
    can_cancel: bool = False
    # The same in a few words, for a menu.
    hint: str = ""
    # Unsaved or stored data is lost.
    loses: bool = False
    # Makes a new object of `kind` in the object that the address names.
    creates: bool = False
    # An upload or a download: the body of the request or answer is data.
    transfer: Literal["", "up", "down"] = ""

    @property
    def audit_name(self) -> str:
        """How the audit calls it: as virsh would."""
        return self.name if self.kind == "domain" else f"{_PREFIXES[self.kind]}-{self.name}"

    @property
    def asks(self) -> bool:
        """Whether it is asked for once more before it is done."""
        return self.confirm != "no"


_PREFIXES: Mapping[ObjectKind, str] = {
    "domain": "", "pool": "pool", "volume": "vol", "network": "net", "snapshot": "snapshot",
}  # fmt: skip

_RUNS = ("running", "blocked")
_ACTIVE = ("running", "blocked", "paused")
_OFF = ("shutoff", "crashed", "nostate")
_POOL_UP = ("running", "degraded", "inaccessible")

_MODE = Parameter(
    "mode", "choice", "How", default="default",
    choices=(("default", "as libvirt chooses"), ("acpi", "power button (ACPI)"),
             ("agent", "guest agent")),
)  # fmt: skip
_ENABLED = Parameter("enabled", "flag", "Start with host", required=True)

_DOMAIN: tuple[Action, ...] = (
    Action(
        "domain", "start", "Start", "play", "operator",
        "Starts the VM. With a saved state it goes on where it was saved.",
        states=_OFF,
        parameters=(Parameter("paused", "flag", "Start paused", "The vCPUs wait for “Resume”.",
                              default=False),),
    ),
    Action(
        "domain", "shutdown", "Shut down", "power", "operator",
        "Asks the guest to shut down, which it may refuse or take its time for. No data is lost.",
        hint="Asks the guest politely (ACPI or agent)",
        states=_RUNS, confirm="ask", parameters=(_MODE,),
    ),
    Action(
        "domain", "reboot", "Reboot", "reboot", "operator",
        "Asks the guest to restart, which it may refuse. No data is lost.",
        states=_RUNS, confirm="ask", parameters=(_MODE,),
    ),
    Action(
        "domain", "suspend", "Pause", "pause", "operator",
        "Stops the vCPUs; memory and disks stay as they are.",
        hint="Stops the vCPUs, keeps memory",
        states=_RUNS,
    ),
    Action(
        "domain", "resume", "Resume", "play", "operator",
        "Lets the vCPUs go on.",
        hint="Lets the vCPUs go on",
        states=("paused",),
    ),
    Action(
        "domain", "managedsave", "Save and stop", "save", "operator",
        "Memory goes to the host’s disk and the VM stops; the next start goes on here.",
        hint="Memory goes to disk; next start resumes here",
        states=_ACTIVE, confirm="ask", long=True, can_cancel=True,
    ),
    Action(
        "domain", "dompmwakeup", "Wake", "sleep", "operator",
        "Wakes the guest from its own sleep.",
        hint="Wakes the guest from its own sleep",
        states=("pmsuspended",),
    ),
    Action(
        "domain", "autostart", "Start with host", "auto", "operator",
        "Whether the VM starts when its host does. Nothing happens now.",
        parameters=(_ENABLED,),
    ),
    Action(
        "domain", "reset", "Reset…", "reboot", "operator",
        "Like the reset button: the guest starts anew at once. What it had not written is lost.",
        hint="Like the reset button; unsaved data is lost",
        states=_ACTIVE, confirm="ask", loses=True,
    ),
    Action(
        "domain", "destroy", "Force off…", "power", "operator",
        "Pulls the plug: what the guest had not written is lost. The VM and its disks stay. "
        "libvirt calls this “destroy”.",
        hint="Pulls the plug. libvirt calls this “destroy”",
        states=(*_ACTIVE, "shutdown", "pmsuspended", "crashed", "nostate"), confirm="name",
        loses=True,
    ),
    Action(
        "domain", "managedsave-remove", "Drop saved state…", "trash", "admin",
        "The saved memory is deleted; the next start boots anew. Disks stay.",
        hint="The next start boots anew",
        states=_OFF, confirm="ask", loses=True,
    ),
    Action(
        "domain", "inject-nmi", "Send NMI…", "warn", "admin",
        "Sends a non-maskable interrupt; many guests crash on it on purpose, to write a dump.",
        hint="Many guests crash on it, to write a dump",
        states=_ACTIVE, confirm="ask",
    ),
    Action(
        "domain", "dump", "Dump memory…", "down", "admin",
        "Writes the guest’s memory into a file on the host; the VM goes on. The file holds every "
        "secret that the guest has in memory.",
        hint="Into a file on the host; the VM goes on",
        # libvirt cannot stop a dump of memory alone.
        states=(*_ACTIVE, "crashed"), confirm="ask", long=True,
        parameters=(Parameter("path", "path", "File on the host", required=True),),
    ),
    Action(
        "domain", "undefine", "Forget VM…", "trash", "admin",
        "libvirt forgets the VM. Its disks stay; no volume is deleted. libvirt calls this "
        "“undefine”.",
        hint="libvirt forgets it; its disks stay",
        states=_OFF, confirm="name", loses=True,
        parameters=(
            Parameter("managed_save", "flag", "Delete the saved state", default=False),
            Parameter("snapshots", "flag", "Forget its snapshots",
                      "What they hold in disks stays there, but libvirt no longer knows it.",
                      default=False),
            Parameter("nvram", "flag", "Delete the NVRAM",
                      "The firmware’s variables, such as boot entries.", default=False),
        ),
    ),
)  # fmt: skip

_POOL: tuple[Action, ...] = (
    Action(
        "pool", "start", "Start pool", "play", "operator",
        "Connects the pool. libvirt calls this pool-start (“create”).",
        hint="Connects it (pool-start)",
        states=("inactive",), long=True,
    ),
    Action(
        "pool", "refresh", "Refresh", "reboot", "operator",
        "Has libvirt look again at what lies in the pool.",
        hint="Looks again at what lies in it",
        states=_POOL_UP,
    ),
    Action(
        "pool", "destroy", "Stop pool…", "power", "admin",
        "Disconnects the pool. No data is deleted. VMs that run keep their disks; others cannot "
        "start from it until it is started again. libvirt calls this pool-destroy.",
        hint="Disconnects it; no data is deleted",
        states=_POOL_UP, confirm="ask",
    ),
    Action(
        "pool", "autostart", "Start with host", "auto", "admin",
        "Whether the pool starts when its host does. Nothing happens now.",
        confirm="ask", parameters=(_ENABLED,),
    ),
    Action(
        "pool", "build", "Build…", "build", "admin",
        "Makes what the pool needs: a directory, or a file system or partition table on its "
        "device. What was on the device is lost if it is overwritten.",
        hint="Makes its directory, file system or table",
        states=("inactive",), confirm="ask", long=True, loses=True,
        parameters=(Parameter("overwrite", "flag", "Overwrite what is on the device",
                              default=False),),
    ),
    Action(
        "pool", "undefine", "Forget pool…", "trash", "admin",
        "The definition goes; the data stays.",
        hint="The definition goes, the data stays",
        states=("inactive",), confirm="ask",
    ),
    Action(
        "pool", "define", "Define pool…", "plus", "admin",
        "libvirt learns of the pool; nothing is written to its storage until it is built.",
        confirm="ask", creates=True,
        parameters=(
            Parameter("name", "name", "Name", required=True),
            Parameter("type", "choice", "Type", required=True, default="dir", choices=(
                ("dir", "directory"), ("fs", "file system on a device"),
                ("netfs", "network file system (NFS)"), ("logical", "LVM volume group"),
                ("disk", "whole disk"), ("iscsi", "iSCSI target"),
                ("iscsi-direct", "iSCSI, by QEMU itself"), ("scsi", "SCSI host adapter"),
                ("mpath", "multipath devices"), ("rbd", "Ceph RBD"), ("gluster", "Gluster volume"),
                ("zfs", "ZFS pool"), ("vstorage", "Virtuozzo storage"))),
            Parameter("target", "path", "Path on the host", only=(
                "type", ("dir", "fs", "netfs", "logical", "disk", "iscsi", "scsi", "mpath",
                         "vstorage"))),
            Parameter("source_host", "host", "Server", only=(
                "type", ("netfs", "iscsi", "iscsi-direct", "rbd", "gluster"))),
            Parameter("source_path", "address", "Exported directory", only=(
                "type", ("netfs", "gluster"))),
            Parameter("source_device", "address", "Device or target", only=(
                "type", ("fs", "logical", "disk", "iscsi", "iscsi-direct"))),
            Parameter("source_name", "address", "Name at the source", only=(
                "type", ("logical", "rbd", "gluster", "zfs", "vstorage"))),
            Parameter("source_adapter", "address", "Adapter", only=("type", ("scsi",))),
            Parameter("source_format", "address", "Format", "Such as ext4, nfs, lvm2, gpt.", only=(
                "type", ("fs", "netfs", "logical", "disk"))),
        ),
    ),
)  # fmt: skip

_FORMAT = Parameter(
    "format", "choice", "Format",
    choices=(("raw", "raw"), ("qcow2", "qcow2"), ("qed", "qed"), ("vmdk", "vmdk"),
             ("vdi", "vdi"), ("iso", "iso")),
)  # fmt: skip

_VOLUME: tuple[Action, ...] = (
    Action(
        "volume", "create", "New volume…", "plus", "admin",
        "Makes a volume in this pool.",
        states=("running",), confirm="ask", creates=True, long=True,
        parameters=(
            Parameter("name", "name", "Name", required=True),
            Parameter("capacity_bytes", "size", "Size", "Such as 20 GiB.", required=True),
            _FORMAT,
            Parameter("allocation_bytes", "size", "Allocated at once", "Empty: as it grows."),
        ),
    ),
    Action(
        "volume", "resize", "Resize…", "edit", "admin",
        "The volume gets another size; the guest’s partitions do not. Nothing is lost while it "
        "grows.",
        hint="Another size; partitions stay",
        states=("running",), confirm="ask",
        parameters=(
            Parameter("capacity_bytes", "size", "New size", "Such as 20 GiB.", required=True),
            Parameter("shrink", "flag", "Make it smaller", "What lies beyond is lost.",
                      default=False),
        ),
    ),
    Action(
        "volume", "clone", "Clone…", "copy", "admin",
        "Copies the volume under another name in the same pool. A VM that writes to it meanwhile "
        "leaves a copy that is torn.",
        hint="A copy in the same pool",
        states=("running",), confirm="ask", long=True,
        parameters=(Parameter("name", "name", "Name of the copy", required=True),),
    ),
    Action(
        "volume", "upload", "Upload…", "up", "admin",
        "Writes a file of yours over the volume from its beginning. What was there is lost.",
        hint="Writes a file of yours over it",
        states=("running",), confirm="ask", long=True, can_cancel=True, loses=True, transfer="up",
    ),
    Action(
        "volume", "download", "Download…", "down", "admin",
        "Sends you the volume’s content. If a VM writes to it meanwhile, the copy is torn.",
        hint="Sends you its content",
        states=("running",), confirm="ask", transfer="down",
    ),
    Action(
        "volume", "wipe", "Wipe…", "ban", "admin",
        "Overwrites the volume with zeros: its data is lost for good. The volume stays.",
        hint="Overwrites it with zeros",
        states=("running",), confirm="name", long=True, loses=True,
    ),
    Action(
        "volume", "delete", "Delete volume…", "trash", "admin",
        "The volume and its data are lost for good. Refused while a VM uses it.",
        hint="Its data is lost for good",
        states=("running",), confirm="name", long=True, loses=True,
    ),
)  # fmt: skip

_NETWORK: tuple[Action, ...] = (
    Action(
        "network", "start", "Start network", "play", "admin",
        "Starts the network with its bridge and DHCP.",
        hint="With its bridge and DHCP",
        states=("inactive",), confirm="ask",
    ),
    Action(
        "network", "destroy", "Stop network…", "power", "admin",
        "Takes the network’s bridge down: VMs on it lose their connection at once, and keep it "
        "lost until they are restarted or plugged in again. libvirt calls this net-destroy.",
        hint="VMs on it lose their connection",
        states=("active",), confirm="ask",
    ),
    Action(
        "network", "autostart", "Start with host", "auto", "admin",
        "Whether the network starts when its host does. Nothing happens now.",
        confirm="ask", parameters=(_ENABLED,),
    ),
    Action(
        "network", "undefine", "Forget network…", "trash", "admin",
        "libvirt forgets the network. VMs that name it cannot start until there is one again.",
        hint="libvirt forgets it",
        states=("inactive",), confirm="ask",
    ),
    Action(
        "network", "define", "Define network…", "plus", "admin",
        "libvirt learns of the network; it is not started yet.",
        confirm="ask", creates=True,
        parameters=(
            Parameter("name", "name", "Name", required=True),
            Parameter("forward", "choice", "Connects to the outside by", default="nat", choices=(
                ("nat", "NAT"), ("route", "routing"), ("open", "routing, no firewall rules"),
                ("none", "nothing (isolated)"), ("bridge", "a bridge of the host"))),
            Parameter("bridge", "name", "Bridge", "Empty: libvirt chooses one.", ),
            Parameter("address", "address", "Address and prefix", "Such as 192.168.150.1/24.",
                      only=("forward", ("nat", "route", "open", "none"))),
            Parameter("dhcp_start", "host", "DHCP from",
                      only=("forward", ("nat", "route", "open", "none"))),
            Parameter("dhcp_end", "host", "DHCP to",
                      only=("forward", ("nat", "route", "open", "none"))),
            Parameter("domain_name", "host", "DNS domain",
                      only=("forward", ("nat", "route", "open", "none"))),
        ),
    ),
)  # fmt: skip

_SNAPSHOT: tuple[Action, ...] = (
    Action(
        "snapshot", "create", "Take snapshot…", "cam", "operator",
        "Remembers the VM’s disks, and its memory while it runs, so that it can be taken back to "
        "now. A running VM may stand still while its memory is written.",
        hint="To be able to go back to now",
        # QEMU cannot stop a snapshot within an image.
        states=("running", "blocked", "paused", "shutoff"), creates=True, confirm="ask",
        long=True,
        parameters=(
            Parameter("name", "name", "Name", "Empty: the time."),
            Parameter("description", "text", "Description"),
            Parameter("disk_only", "flag", "Disks only",
                      "Without memory; the disks go on in new files.", default=False),
        ),
    ),
    Action(
        "snapshot", "revert", "Revert…", "past", "operator",
        "Takes the VM’s disks (and memory) back to the snapshot: everything since then is lost.",
        hint="Everything since then is lost",
        confirm="name", long=True, loses=True,
        parameters=(Parameter("paused", "flag", "Leave it paused", default=False),),
    ),
    Action(
        "snapshot", "delete", "Delete snapshot…", "trash", "operator",
        "The VM stays as it is now; it can no longer be taken back to this snapshot.",
        hint="The VM stays as it is now",
        confirm="ask", long=True, loses=True,
        parameters=(Parameter("children", "flag", "Its children too", default=False),),
    ),
)  # fmt: skip

ACTIONS: tuple[Action, ...] = (*_DOMAIN, *_POOL, *_VOLUME, *_NETWORK, *_SNAPSHOT)
BY_NAME: Mapping[tuple[str, str], Action] = {(one.kind, one.name): one for one in ACTIONS}


def actions_of(kind: ObjectKind) -> tuple[Action, ...]:
    """The actions on objects of a kind that are there already."""
    return tuple(one for one in ACTIONS if one.kind == kind and not one.creates)


def must_type(action: Action, fact: Any, parameters: Mapping[str, Any]) -> bool:
    """Whether the object's name must be typed for this action with these parameters.

    Force off only of a VM that runs, undefine only where it loses state, NVRAM or snapshots.
    """
    if action.confirm != "name":
        return False
    if isinstance(fact, Domain) and action.name == "destroy":
        return fact.state in (*_ACTIVE, "shutdown")
    if isinstance(fact, Domain) and action.name == "undefine":
        return any(bool(parameters.get(name)) for name in ("managed_save", "snapshots", "nvram"))
    return True


def why_not(action: Action, state: str | None, fact: Any) -> str | None:
    """Why an action is not possible in this state, as a sentence; None when it is."""
    if state is None:
        return "Its host does not answer."
    if action.states is not None and state not in action.states:
        return f"Not possible while it is {_STATE_WORDS.get(state, state)}."
    if isinstance(fact, Domain):
        return _why_not_domain(action, fact)
    return None


_STATE_WORDS = {
    "shutoff": "shut off", "pmsuspended": "asleep", "shutdown": "shutting down",
    "blocked": "running", "nostate": "in no known state",
}  # fmt: skip


def _why_not_domain(action: Action, domain: Domain) -> str | None:
    if action.name == "managedsave-remove" and domain.managed_save is False:
        return "It has no saved state."
    needs_definition = ("managedsave", "autostart", "undefine")
    if action.name in needs_definition and domain.persistent is False:
        return "It is transient: libvirt keeps no definition of it."
    return None
