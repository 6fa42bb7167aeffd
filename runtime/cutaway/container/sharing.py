"""Namespaces of another container: `--network container:web`, `--pid container:web`, `--ipc container:web`.

Two containers that share a network namespace have one `lo`, one address and one set of ports: what Kubernetes
calls a pod. The one that joins must find the other running when it starts; the namespace then lives on for as
long as anybody is in it.

When the container is created the other's name becomes its id, so that a later rename changes nothing.
"""

from __future__ import annotations

import dataclasses

from cutaway.container.records import RESTARTING, Record
from cutaway.container.shelf import Shelf
from cutaway.container.spec import Config, HostConfig
from cutaway.errors import BadInputError, ConflictError, NotFoundError

PREFIX = "container:"


@dataclasses.dataclass(frozen=True, slots=True)
class Shared:
    """Whose namespaces a container joins: pids of running containers, 0 for none."""

    net: int = 0
    ipc: int = 0
    pid: int = 0

    def pid_of(self, kind: str) -> int:
        """The process to whose namespace of this kind it belongs; 0 for a namespace of its own."""
        return {"net": self.net, "ipc": self.ipc, "pid": self.pid}.get(kind, 0)


def adopt_names(config: Config, host: HostConfig, shelf: Shelf) -> None:
    """Replace names by ids, and take over the host name of the container whose network is shared.

    Raises NotFoundError for a container that is not there, BadInputError for what contradicts it.
    """
    for field in ("network_mode", "ipc_mode", "pid_mode"):
        mode = getattr(host, field)
        if mode.startswith(PREFIX):
            if mode == PREFIX:
                raise BadInputError(
                    f"invalid {field.replace('_', ' ')}: {mode}", "write the container behind the colon"
                )
            setattr(host, field, PREFIX + shelf.find(mode.removeprefix(PREFIX)).record.id)
    if host.network_mode.startswith(PREFIX):
        _check_alone(config, host)
        donor = shelf.find(host.network_mode.removeprefix(PREFIX)).record
        config.hostname, config.domainname = donor.hostname, donor.config.domainname


def shared_by(record: Record, shelf: Shelf) -> Shared:
    """The processes to join, at a start. Raises ConflictError when one does not run."""
    host = record.host
    shared = Shared(
        net=_pid(host.network_mode, shelf, "network"),
        ipc=_pid(host.ipc_mode, shelf, "IPC"),
        pid=_pid(host.pid_mode, shelf, "PID"),
    )
    if shared.ipc:
        donor = shelf.find(host.ipc_mode.removeprefix(PREFIX)).record
        if donor.host.ipc_mode != "shareable":
            raise BadInputError(
                f"container {donor.id}: non-shareable IPC "
                "(hint: use IpcMode:shareable for the donor container)",
                "start that one with --ipc shareable",
            )
    return shared


def network_donor(record: Record) -> str:
    """The id of the container whose network it shares; "" when it has one of its own."""
    mode = record.host.network_mode
    return mode.removeprefix(PREFIX) if mode.startswith(PREFIX) else ""


def _pid(mode: str, shelf: Shelf, what: str) -> int:
    if not mode.startswith(PREFIX):
        return 0
    name = mode.removeprefix(PREFIX)
    kept = shelf.get(name)
    if kept is None:
        raise NotFoundError(f"No such container: {name}", f"its {what} namespace went with it")
    state = kept.record.state
    if state.status == RESTARTING:
        raise ConflictError(f"container {name} is restarting, wait until the container is running")
    if not state.running:
        raise ConflictError(
            f"cannot join {what} of a non running container: {name}", f"start it first: start {name[:12]}"
        )
    return state.pid


def _check_alone(config: Config, host: HostConfig) -> None:
    """What belongs to the network belongs to the container that has it."""
    wishes = (
        ("hostname and the network mode", config.hostname),
        ("links and network mode container", host.links),
        ("dns and the network mode", host.dns or host.dns_search or host.dns_options),
        ("custom host-to-IP mapping and the network mode", host.extra_hosts),
        ("mac-address and the network mode", config.mac_address),
        ("port publishing and the container type network mode", host.port_bindings or host.publish_all_ports),
    )
    for text, given in wishes:
        if given:
            raise BadInputError(f"conflicting options: {text}", "set it for the container that is joined")
