"""Which addresses containers get.

A network owns a subnet, e.g. 172.17.0.0/16: its first address is the bridge's own, which is the gateway of
all containers; they take the lowest free one from .2 on. A taken address is a *lease*, kept in the database
so that an engine that was killed does not give it away twice. The subnet is the first of Docker's usual
ones that no route of this machine leads into: otherwise a company's 172.17.x.x servers would vanish behind
the bridge.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from cutaway.errors import ConflictError

Subnet = ipaddress.IPv4Network


class Leases(Protocol):
    """The part of the database that keeps addresses: `store.Database`."""

    def add_lease(self, network: str, address: str, container_id: str) -> bool:
        """Take an address. False when it is taken already."""
        ...

    def leases(self, network: str) -> dict[str, str]:
        """Address -> container id."""
        ...

    def delete_lease(self, network: str, address: str) -> None:
        """Give an address back."""
        ...


def candidate_subnets() -> Iterator[Subnet]:
    """Docker's default pools in its order: 172.17–172.31 as /16, then 192.168.0.0/16 in pieces of /20."""
    yield from (Subnet((f"172.{second}.0.0", 16)) for second in range(17, 32))
    yield from Subnet("192.168.0.0/16").subnets(new_prefix=20)


def free_subnet(routes: Iterable[Subnet]) -> Subnet:
    """The first candidate that no route but a default one overlaps. Raises ConflictError (Docker's text)."""
    taken = [route for route in routes if route.prefixlen]
    for subnet in candidate_subnets():
        if not any(subnet.overlaps(route) for route in taken):
            return subnet
    raise ConflictError(
        "could not find an available, non-overlapping IPv4 address pool among the defaults "
        "to assign to the network",
        "routes of this machine cover 172.17.0.0–172.31.255.255 and 192.168.0.0/16; see: ip route",
    )


def mac_of(address: str) -> str:
    """The MAC that goes with an address, as Docker makes it: `02:42:` and the four bytes of the address."""
    return "02:42:" + ipaddress.IPv4Address(address).packed.hex(":")


class Pool:
    """The addresses of one network. `leases` is asked once, at the start; nobody else may write its rows."""

    def __init__(self, network: str, subnet: Subnet, leases: Leases) -> None:
        self.subnet = subnet
        self._network = network
        self._leases = leases
        self._taken = leases.leases(network)

    @property
    def gateway(self) -> str:
        """The bridge's own address: the first of the subnet."""
        return str(self.subnet.network_address + 1)

    @property
    def taken(self) -> Mapping[str, str]:
        """Address -> id of the container that holds it."""
        return self._taken

    def take(self, container_id: str) -> str:
        """The lowest free address, or the one that the container has. ConflictError when all are taken."""
        for address, owner in self._taken.items():
            if owner == container_id:
                return address
        for candidate in self.subnet.hosts():
            address = str(candidate)
            if address == self.gateway or address in self._taken:
                continue
            if self._leases.add_lease(self._network, address, container_id):
                self._taken[address] = container_id
                return address
        raise ConflictError(
            f"no available IPv4 addresses on this network's address pool: {self._network} ({self.subnet})",
            "remove containers that are not needed: rm",
        )

    def release(self, container_id: str) -> None:
        """Give back what the container holds; no error when that is nothing."""
        for address in [address for address, owner in self._taken.items() if owner == container_id]:
            self._leases.delete_lease(self._network, address)
            del self._taken[address]
