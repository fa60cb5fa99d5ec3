"""Acting on a host: the one libvirt call of every action, and nothing around it.

Owns how each act is said to libvirt. Knows no role, no audit and no store; every call goes
through the session that it is handed and fails as VirtError. The call that changes something is
made once and never retried; `before_call` is called right before it, so that whoever must write
down what is about to happen can.
"""

from app.virt.verbs.making import create
from app.virt.verbs.objects import Standing, Target, standing, users_of_path, volume_path
from app.virt.verbs.progress import Progress, cancel, progress
from app.virt.verbs.table import act
from app.virt.verbs.transfer import download, upload

__all__ = [
    "Progress",
    "Standing",
    "Target",
    "act",
    "cancel",
    "create",
    "download",
    "progress",
    "standing",
    "upload",
    "users_of_path",
    "volume_path",
]
