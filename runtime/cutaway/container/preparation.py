"""Before a start: what the plan stands on is found out or made, and given back after the end.

Here is all that touches the machine around a plan: the endpoint is taken from the network, the user is looked
up in the container's files, the filter is compiled (once), the folder gets its files. `planner` then makes
the plan of it.
"""

from __future__ import annotations

import base64
import functools
import shutil
from collections.abc import Sequence
from pathlib import Path

from cutaway.container import devices, folders, volumes
from cutaway.container.plan import Plan
from cutaway.container.planner import ExecRequest, Ground, plan_container, plan_exec
from cutaway.container.records import Record
from cutaway.container.security import read_security
from cutaway.container.sharing import shared_by
from cutaway.container.shelf import Shelf
from cutaway.container.users import User, find_user, layered_reader
from cutaway.errors import NotPermittedError
from cutaway.layer.layers import Layers
from cutaway.linux.capabilities import granted
from cutaway.linux.hierarchies import mounted_names
from cutaway.network.endpoint import Endpoint
from cutaway.network.manager import BRIDGE, Network
from cutaway.network.ports import PortMap
from cutaway.settings import Settings

_INITS = ("docker-init", "tini-static")  # statically linked: an image may have no C library


class Preparation:
    """Makes plans for real starts, and imagined ones."""

    def __init__(self, settings: Settings, layers: Layers, network: Network, shelf: Shelf) -> None:
        self._settings, self._layers, self._network, self._shelf = settings, layers, network, shelf
        self._users: dict[tuple[str, ...], User] = {}

    async def prepare(self, record: Record) -> Plan:
        """Make everything ready and plan. After a failure `undo` gives all back."""
        folder = self._settings.container(record.id)
        folders.clear_exit(folder)
        volumes.prepare(record.mounts)
        if record.network == BRIDGE:
            record.endpoint = await self._network.connect(
                record.id,
                record.hostname,
                wanted_ports(record),
                sorted(record.config.exposed_ports),
                record.config.mac_address,
            )
        folders.write_files(record, folder)
        return self.plan(record, record.endpoint)

    async def undo(self, record: Record) -> None:
        """Give the endpoint back. No error when there is none."""
        if record.endpoint is not None:
            record.endpoint = None
            await self._network.disconnect(record.id)

    def plan(self, record: Record, endpoint: Endpoint | None) -> Plan:
        """The plan with this endpoint."""
        shared = shared_by(record, self._shelf)
        ground = Ground(
            lowers=tuple(self._layers.lower(layer) for layer in reversed(record.layers)),
            user=self.user(record, record.config.user),
            network=((), ()) if shared.net else self._network.steps(endpoint, record.network),
            seccomp=self._filter(record),
            cgroup_trees=mounted_names(),
            nodes=devices.nodes(record.host),
            shared=shared,
            init=init_program() if record.host.init else "",
        )
        return plan_container(record, self._settings, ground)

    def plan_exec(self, record: Record, request: ExecRequest, user: str) -> Plan:
        """The plan of an exec as `user`, or as the container's own when empty."""
        seccomp = "" if request.privileged else self._filter(record)
        found = self.user(record, user or record.config.user)
        return plan_exec(record, self._settings, request, found, seccomp)

    def _filter(self, record: Record) -> str:
        host = record.host
        profile = read_security(host.security_opt).seccomp
        if profile == "unconfined" or (host.privileged and not profile):
            return ""
        rights = granted(tuple(host.cap_add), tuple(host.cap_drop), privileged=host.privileged)
        return compiled_filter(profile, rights, self._settings.cache)

    def imagined(self, record: Record) -> Endpoint | None:
        """An endpoint as it might be, for a plan that nobody runs."""
        if record.network != BRIDGE:
            return None
        ports: PortMap = {port: list(places or ()) for port, places in wanted_ports(record).items()}
        return Endpoint(
            network=BRIDGE,
            bridge=self._settings.instance,
            address="172.17.0.2",
            prefix=16,
            gateway="172.17.0.1",
            mac="02:42:ac:11:00:02",
            host_interface="ca0123456789",
            mtu=1500,
            hostname=record.hostname,
            ports=ports,
        )

    def user(self, record: Record, text: str) -> User:
        """Who that is, in this container's files. Layers never change, so the answer is kept for them."""
        upper = self._settings.container(record.id) / "upper"
        folders_below = [self._layers.diff(layer) for layer in reversed(record.layers)]
        if any((upper / "etc" / name).exists() for name in ("passwd", "group")):
            return _find(text, [upper, *folders_below], record)
        key = (text, *record.host.group_add, *record.layers)
        if key not in self._users:
            self._users[key] = _find(text, folders_below, record)
        return self._users[key]


def wanted_ports(record: Record) -> dict[str, Sequence[dict[str, str]] | None]:
    """The ports to publish: those asked for, and with `-P` all exposed ones, at any free port."""
    wanted: dict[str, Sequence[dict[str, str]] | None] = dict(record.host.port_bindings)
    if record.host.publish_all_ports:
        for port in record.config.exposed_ports:
            wanted.setdefault(port if "/" in port else f"{port}/tcp", [{"HostIp": "", "HostPort": ""}])
    return wanted


def init_program() -> str:
    """The small init of `--init`. Raises NotPermittedError when the machine has none."""
    for name in _INITS:
        if found := shutil.which(name):
            return found
    raise NotPermittedError(
        'exec: "docker-init": executable file not found in $PATH',
        "install the package tini, or leave out --init",
    )


@functools.lru_cache(32)
def compiled_filter(profile: str, capabilities: tuple[str, ...], cache: Path) -> str:
    """The seccomp filter of a profile, "" for the default one, with these capabilities, in base64."""
    # libseccomp is loaded only where it is needed
    from cutaway.linux.seccomp_compile import default_program
    from cutaway.linux.seccomp_custom import custom_program

    program = (
        custom_program(profile, capabilities, cache) if profile else default_program(capabilities, cache)
    )
    return base64.b64encode(program).decode()


def _find(text: str, layers: list[Path], record: Record) -> User:
    return find_user(text, layered_reader(layers), record.host.group_add)
