"""The three files that tell a container who it is and whom to ask: resolv.conf, hosts, hostname.

A container asks the same name servers as its host, except those on the host's loopback (127.0.0.53 of
systemd-resolved, a local dnsmasq): inside the container that address is the container itself.
systemd-resolved keeps a second file with the servers behind it, which is used then. Where only loopback
servers are known the file says so in a comment instead of sending questions to somebody whom the user did
not choose.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from pathlib import Path

HOST_RESOLV_CONF = Path("/etc/resolv.conf")
BEHIND_SYSTEMD = Path("/run/systemd/resolve/resolv.conf")
NO_SERVER = """\
# The name servers of this host are on its loopback, which a container cannot reach:
# names are not resolved here. Give the host a server with an address of its own in /etc/resolv.conf.
"""
LOCAL_LINES = """\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""


def resolv_conf(sources: Iterable[Path] = (HOST_RESOLV_CONF, BEHIND_SYSTEMD)) -> str:
    """What `/etc/resolv.conf` in a container on the bridge says: the first source with a usable server."""
    rest: list[str] = []
    for source in sources:
        lines = _lines(source)
        servers = [line for line in lines if line.split()[0] == "nameserver" and _reachable(line)]
        others = [line for line in lines if line.split()[0] in ("search", "domain", "options")]
        if servers:
            return "\n".join([*servers, *others]) + "\n"
        rest = rest or others
    return NO_SERVER + "".join(f"{line}\n" for line in rest)


def host_resolv_conf() -> str:
    """The host's own file, for a container that shares the host's network."""
    return "".join(f"{line}\n" for line in _lines(HOST_RESOLV_CONF))


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return []
    return [line.strip() for line in lines if line.strip() and line.strip()[0] not in "#;"]


def _reachable(line: str) -> bool:
    """Whether a container may ask this server: not loopback, and IPv4, the only kind its network carries."""
    words = line.split()
    try:
        address = ipaddress.ip_address(words[1])
    except (IndexError, ValueError):
        return False
    return address.version == 4 and not address.is_loopback and not address.is_unspecified


def hosts(address: str | None, hostname: str, domainname: str = "", extra: Iterable[str] = ()) -> str:
    """`/etc/hosts`: localhost, `--add-host` entries as `name:address`, and the container itself."""
    lines = [LOCAL_LINES]
    for entry in extra:
        name, _, target = entry.partition(":")
        lines.append(f"{target}\t{name}\n")
    if address:
        full = f"{hostname}.{domainname} {hostname}" if domainname else hostname
        lines.append(f"{address}\t{full}\n")
    return "".join(lines)


def host_hosts() -> str:
    """The host's own `/etc/hosts`, for a container that shares the host's network."""
    try:
        return Path("/etc/hosts").read_text(errors="replace")
    except OSError:
        return LOCAL_LINES


def hostname_file(hostname: str) -> str:
    """`/etc/hostname`."""
    return f"{hostname}\n"
