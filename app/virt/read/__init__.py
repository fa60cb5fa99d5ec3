"""Reading a host: one scan of everything npvirt keeps, as values.

Owns what is asked of libvirt, how often, and how its answers become app/inventory.py's values.
Knows of no database and no web; every call goes through the session that it is handed. Changes
nothing on a host but two things, in sessions of their own: it refreshes storage pools and bounds
how long a guest agent may take.
"""

from app.virt.read.reader import Reader

__all__ = ["Reader"]
