"""`--device`, `--device-cgroup-rule`, and the devices of a privileged container.

A device takes two permissions: a node in the container's /dev, and a line in the list of its devices cgroup,
which decides when the node is opened. `--device /dev/fuse` gives both. What the node is called inside does
not matter, its two numbers do.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from cutaway.container.spec import HostConfig
from cutaway.errors import BadInputError
from cutaway.linux.devices import Node

_RULE = re.compile(r"[acb] ([0-9]+|\*):([0-9]+|\*) [rwm]{1,3}")
# Of the host's /dev a privileged container has its own, or must not have any (moby, oci/devices_linux.go).
_OWN = {"pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev", "console", "core", "ptmx", "stdin"}
_OWN |= {"stdout", "stderr", "null", "zero", "full", "random", "urandom", "tty"}


def check_devices(host: HostConfig) -> None:
    """Raises BadInputError for what no device can be. Whether it is there is asked at the start."""
    for device in host.devices:
        if not device.path_on_host or not set(device.cgroup_permissions or "rwm") <= set("rwm"):
            raise BadInputError(
                f"invalid device: {device.path_on_host}:{device.cgroup_permissions}",
                "write HOST[:CONTAINER[:rwm]]",
            )
    for rule in host.device_cgroup_rules:
        if not _RULE.fullmatch(rule):
            raise BadInputError(
                f"invalid device cgroup rule format: '{rule}'",
                "such as: c 10:229 rwm, for all of a kind c 4:* r",
            )


def nodes(host: HostConfig) -> tuple[Node, ...]:
    """The nodes to make besides the usual ones. Raises BadInputError for a device that is not there."""
    found = dict[str, Node]()
    if host.privileged:
        found |= {node.path: node for node in _below("/dev", "/dev")}
    for device in host.devices:
        path = os.path.realpath(device.path_on_host)
        inside = device.path_in_container or device.path_on_host
        try:
            here = list(_below(path, inside)) if Path(path).is_dir() else [_node(path, inside)]
        except OSError as error:
            raise BadInputError(
                f'error gathering device information while adding custom device "{device.path_on_host}": '
                f"{(error.strerror or str(error)).lower()}",
                "look at /dev on this machine",
            ) from error
        found |= {node.path: node for node in here}
    return tuple(found.values())


def rules(host: HostConfig, made: tuple[Node, ...]) -> tuple[str, ...]:
    """What the devices cgroup lets through besides the usual."""
    rights = {node.path: "rwm" for node in made}
    for device in host.devices:
        inside = device.path_in_container or device.path_on_host
        for path in rights:
            if path == inside or path.startswith(inside + "/"):
                rights[path] = device.cgroup_permissions or "rwm"
    own = (f"{node.kind} {node.major}:{node.minor} {rights[node.path]}" for node in made)
    return (*own, *host.device_cgroup_rules)


def _below(folder: str, inside: str) -> Iterator[Node]:
    """All devices in a folder. Raises OSError when it cannot be read; what vanishes is left out."""
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.name in _OWN and folder == "/dev":
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _below(entry.path, f"{inside}/{entry.name}")
        elif not entry.is_symlink():
            try:
                yield _node(entry.path, f"{inside}/{entry.name}")
            except OSError:
                continue


def _node(path: str, inside: str) -> Node:
    found = os.lstat(path)
    if not (stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode)):
        raise OSError(0, "not a device node", path)
    return Node(
        inside,
        "c" if stat.S_ISCHR(found.st_mode) else "b",
        os.major(found.st_rdev),
        os.minor(found.st_rdev),
        stat.S_IMODE(found.st_mode),
        found.st_uid,
        found.st_gid,
    )
