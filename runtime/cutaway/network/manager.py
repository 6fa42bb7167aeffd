"""The networks of one engine: `bridge`, and the two that are not networks, `host` and `none`.

`connect` is called when a container is about to start and gives it an endpoint: an address from the pool,
the host's ports that it asked for, a name for its cable. It touches the kernel only twice: the first time
ever it has the bridge and the nftables table made, and where ports are published it enters them. The cable
itself is part of the container's plan and is laid by the keeper. `disconnect`, after the container's end,
gives everything back; the cable vanished with the container's namespace. Whatever blocks runs in a worker
thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from cutaway.errors import BadInputError, CutawayError, NotPermittedError
from cutaway.linux.netlink import ConfigureLoopback
from cutaway.linux.step import Step
from cutaway.network import bridge as bridges
from cutaway.network.endpoint import Endpoint, described
from cutaway.network.nat import Nat
from cutaway.network.pool import Leases, Pool, mac_of
from cutaway.network.ports import (
    Binding,
    PortMap,
    Publication,
    Reservations,
    from_docker,
    parse_bindings,
    to_docker,
)
from cutaway.settings import Settings

BRIDGE, HOST, NONE = "bridge", "host", "none"
log = logging.getLogger(__name__)


def check_mode(mode: str) -> str:
    """`bridge`, `host` or `none`; empty and `default` mean bridge. Raises BadInputError for any other."""
    if mode in ("", "default"):
        return BRIDGE
    if mode not in (BRIDGE, HOST, NONE):
        raise BadInputError(f"network {mode} not found", "networks here are: bridge, host, none")
    return mode


class Network:
    """The networks of an engine. Only one task at a time changes anything. `leases` is `store.Database`."""

    def __init__(self, settings: Settings, leases: Leases) -> None:
        self._name = settings.instance
        self._leases = leases
        self._reservations = Reservations()
        self._published: dict[str, list[Publication]] = {}
        self._made: tuple[Pool, Nat] | None = None
        self._mtu = 1500
        self._lock = asyncio.Lock()

    async def connect(
        self,
        container_id: str,
        hostname: str,
        ports: Mapping[str, Sequence[Mapping[str, str]] | None] | None = None,
        exposed: Iterable[str] = (),
        mac: str = "",
    ) -> Endpoint:
        """A place on the bridge for a container that is about to start.

        `ports` is Docker's `HostConfig.PortBindings`, `exposed` lists `80/tcp` of the image and the request.
        Without a `mac` one is made of the address.
        Raises BadInputError for a port that cannot be, ConflictError for a taken one; then nothing is held.
        """
        bindings = parse_bindings(ports)
        async with self._lock:
            if self._made is None:
                self._made = await asyncio.to_thread(self._make)
            pool, nat = self._made
            try:
                address = pool.take(container_id)
                published = await self._publish(nat, container_id, address, bindings)
            except BaseException:
                pool.release(container_id)
                raise
        return self._endpoint(pool, address, hostname, to_docker(published, exposed), mac)

    def _endpoint(self, pool: Pool, address: str, hostname: str, ports: PortMap, mac: str) -> Endpoint:
        return Endpoint(
            network=BRIDGE,
            bridge=self._name,
            address=address,
            prefix=pool.subnet.prefixlen,
            gateway=pool.gateway,
            mac=mac.lower().replace("-", ":") or mac_of(address),
            host_interface=f"ca{secrets.token_hex(5)}",
            mtu=self._mtu,
            hostname=hostname,
            ports=ports,
        )

    async def disconnect(self, container_id: str) -> None:
        """Give back address and ports of a container that has ended. No error when it has none."""
        async with self._lock:
            if self._made is None:
                return
            pool, nat = self._made
            published = self._published.pop(container_id, [])
            if published:
                await asyncio.to_thread(_withdraw, nat, published)
            self._reservations.release(container_id)
            pool.release(container_id)

    async def adopt(self, running: Mapping[str, Endpoint]) -> None:
        """After the engine's start: take over what runs by now (id -> endpoint), forget all others.

        Ports that another program took while no engine held them stay published, and the log says so.
        """
        async with self._lock:
            for address, owner in self._leases.leases(BRIDGE).items():
                if owner not in running:
                    self._leases.delete_lease(BRIDGE, address)
            if not running and bridges.find(self._name) is None:
                return
            self._published = {owner: from_docker(point.ports) for owner, point in running.items()}
            pool, nat = await asyncio.to_thread(self._make, running)
            for owner, published in self._published.items():
                for lost in self._reservations.retake(owner, published):
                    log.warning("port %s:%d is also bound by a program", lost.host_address, lost.host_port)
            self._made = (pool, nat)

    async def stop(self) -> None:
        """Let go of the ports; when no container is on the bridge, remove it and the table, undo sysctls."""
        async with self._lock:
            self._reservations.close()
            if self._made is None:
                return
            pool, nat = self._made
            self._made = None
            if not pool.taken:
                await asyncio.to_thread(self._unmake, nat)

    @staticmethod
    def steps(endpoint: Endpoint | None, mode: str = BRIDGE) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
        """The plan's steps (beside, inside) of a container; without an endpoint only `lo`, on `host` none."""
        if endpoint is not None:
            return endpoint.steps()
        return (), (() if mode == HOST else (ConfigureLoopback(),))

    def describe(self) -> list[dict[str, Any]]:
        """The engine's networks in Docker's words: `GET /networks`."""
        pool = self._made[0] if self._made else None
        return [
            described(self._name, BRIDGE, "bridge", pool),
            described(self._name, HOST, "host"),
            described(self._name, NONE, "null"),
        ]

    def _make(self, running: Mapping[str, Endpoint] | None = None) -> tuple[Pool, Nat]:
        bridge = bridges.ensure(self._name)
        self._mtu = bridges.uplink_mtu()
        nat = Nat(self._name, self._name, str(bridge.subnet))
        points = running or {}
        published = [(points[owner].address, one) for owner in points for one in self._published[owner]]
        with _explained():
            nat.install(published)
        return Pool(BRIDGE, bridge.subnet, self._leases), nat

    def _unmake(self, nat: Nat) -> None:
        with _explained():
            nat.remove()
        bridges.remove(self._name)

    async def _publish(
        self, nat: Nat, container_id: str, address: str, bindings: list[Binding]
    ) -> list[Publication]:
        if not bindings:
            return []
        try:
            published = self._reservations.take(container_id, bindings)
            with _explained():
                await asyncio.to_thread(nat.publish, address, published)
        except BaseException:
            self._reservations.release(container_id)
            raise
        self._published[container_id] = published
        return published


def _withdraw(nat: Nat, published: list[Publication]) -> None:
    try:
        nat.withdraw(published)
    except OSError as error:
        if error.errno != errno.ENOENT:  # somebody flushed the rules: nothing is left to withdraw
            raise


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise NotPermittedError(
            f"cannot change nftables: {error}", "needs CAP_NET_ADMIN; see: cutaway doctor"
        ) from error
    except OSError as error:
        raise CutawayError(
            f"cannot change nftables: {error}", "does this kernel have nf_tables and nat? see: cutaway doctor"
        ) from error
