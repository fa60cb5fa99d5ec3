"""What a person can try when a host does not answer, by transport. Pure.

The commands are for reading and copying; npvirt runs none of them.
"""

from app.connection import DEFAULT_PORTS, Connection


def what_to_check(connection: Connection) -> list[tuple[str, str]]:
    """Three questions, each with a command that answers it."""
    host = connection.host or ""
    running = ("Is libvirt running there?", "systemctl status virtqemud libvirtd")
    if connection.transport == "unix":
        socket = connection.socket or "/run/libvirt/libvirt-sock"
        return [
            ("Is libvirt running on this machine?", "systemctl status virtqemud libvirtd"),
            ("Is its socket there?", f"ls -l {socket}"),
            ("May npvirt’s user open it?", "id"),
        ]
    if connection.transport == "embedded":
        return [
            ("Is the node file still there and well-formed?", f"xmllint --noout {connection.path}")
        ]
    ping = ("Does it answer a ping from the npvirt server?", f"ping {host}")
    port = connection.port or DEFAULT_PORTS[connection.transport]
    if connection.transport == "ssh":
        login = f"{connection.user}@{host}" if connection.user else host
        option = f"-p {connection.port} " if connection.port else ""
        return [ping, ("Does SSH log in?", f"ssh {option}{login} true"), running]
    return [ping, ("Does the port answer?", f"nc -vz {host} {port}"), running]
