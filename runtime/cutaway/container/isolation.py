"""How far a container is cut off: what of the asked-for modes, settings and devices makes sense.

Everything here is about `HostConfig`. What cannot be is refused before anything is made, in Docker's words.
"""

from __future__ import annotations

import ipaddress
import re

from cutaway.container.devices import check_devices
from cutaway.container.security import read_security
from cutaway.container.sharing import PREFIX
from cutaway.container.spec import Config, HostConfig
from cutaway.errors import BadInputError
from cutaway.linux.rlimits import limit_number

NETWORKS = ("bridge", "none", "host")
_IPC_SYSCTLS = ("msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced")
_MAC = re.compile(r"([0-9a-fA-F]{2}[:-]){5}[0-9a-fA-F]{2}")


def check_isolation(config: Config, host: HostConfig) -> None:
    """Raises BadInputError."""
    _check_modes(host)
    _check_names(config, host)
    _check_sysctls(host)
    _check_limits(host)
    check_devices(host)
    read_security(host.security_opt)


def _check_modes(host: HostConfig) -> None:
    modes = (
        ("--network", host.network_mode, ("", "default", *NETWORKS), True),
        ("--pid", host.pid_mode, ("", "private", "host"), True),
        ("--ipc", host.ipc_mode, ("", "none", "private", "shareable", "host"), True),
        ("--uts", host.uts_mode, ("", "private", "host"), False),
        ("--userns", host.userns_mode, ("", "host"), False),
        ("--cgroupns", host.cgroupns_mode, ("", "private", "host"), False),
        ("--volume-driver", host.volume_driver, ("", "local"), False),
        ("--runtime", host.runtime, ("", "cutaway", "runc"), False),
        ("--isolation", host.isolation, ("", "default"), False),
    )
    for flag, value, known, shared in modes:
        if value in known or (shared and value.startswith(PREFIX)):
            continue
        choices = ", ".join(choice for choice in known if choice) + (", container:NAME" if shared else "")
        raise BadInputError(f"invalid {flag.strip('-')} mode: {value}", f"{flag} knows {choices}")


def _check_names(config: Config, host: HostConfig) -> None:
    if host.uts_mode == "host" and (config.hostname or config.domainname):
        raise BadInputError("conflicting options: hostname and the UTS mode", "the host's name is used")
    if config.mac_address and not _MAC.fullmatch(config.mac_address):
        raise BadInputError(
            f"invalid MAC address: {config.mac_address}", "six pairs of hexadecimal digits: 02:42:ac:11:00:09"
        )
    if config.mac_address and host.network_mode in NETWORKS[1:]:
        raise BadInputError("conflicting options: mac-address and the network mode")
    for address in host.dns:
        if not _is_address(address):
            raise BadInputError(f"invalid DNS server: {address}", "write the address of a name server")
    for entry in host.extra_hosts:
        name, _, address = entry.partition(":")
        if not name or not address:
            raise BadInputError(f'bad format for add-host: "{entry}"', "write NAME:ADDRESS")
        if address != "host-gateway" and not _is_address(address):
            raise BadInputError(f'invalid IP address in add-host: "{address}"', "or write host-gateway")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return False
    return True


def _check_sysctls(host: HostConfig) -> None:
    for name in host.sysctls:
        dotted = name.replace("/", ".")
        if ".." in dotted or not re.fullmatch(r"[a-zA-Z0-9_.-]+", dotted):
            raise BadInputError(f"invalid sysctl: {name}", "write it as net.core.somaxconn=1024")
        if dotted.startswith("net."):
            if host.network_mode == "host":
                raise BadInputError(f'sysctl "{name}" not allowed in host network namespace')
        elif dotted.startswith("fs.mqueue.") or dotted.removeprefix("kernel.") in _IPC_SYSCTLS:
            if host.ipc_mode == "host":
                raise BadInputError(f'sysctl "{name}" not allowed in host ipc namespace')
        else:
            raise BadInputError(
                f'sysctl "{name}" is not in a separate kernel namespace',
                "a container has net.*, fs.mqueue.*, kernel.shm*, kernel.msg* and kernel.sem of its own",
            )


def _check_limits(host: HostConfig) -> None:
    if host.shm_size < 0:
        raise BadInputError("SHM size can not be less than 0")
    if not -1000 <= host.oom_score_adj <= 1000:
        raise BadInputError(
            f"Invalid value {host.oom_score_adj}, range for oom score adj is [-1000, 1000]",
            "1000 is killed first, -1000 never",
        )
    for limit in host.ulimits:
        limit_number(limit.name)
        if limit.hard >= 0 and (limit.soft > limit.hard or limit.soft < 0):
            raise BadInputError(
                f"ulimit soft limit must be less than or equal to hard limit: {limit.soft} > {limit.hard}"
            )
