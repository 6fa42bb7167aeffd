"""An endpoint: one container's place in a network, as a value.

It is made before the container starts, is kept in the container's record, and says everything that others
want to know of it: the steps that make it (for the plan), Docker's JSON (for inspect), and what to take
again after a restart of the engine.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from cutaway.linux.netlink import ConfigureInterface, ConfigureLoopback, CreateVeth
from cutaway.linux.step import Step
from cutaway.network.pool import Pool, mac_of
from cutaway.network.ports import PortMap

INTERFACE = "eth0"


class Endpoint(msgspec.Struct, frozen=True):
    """Addresses as text, `prefix` in bits, `mtu` in bytes, `ports` as Docker's `NetworkSettings.Ports`."""

    network: str
    bridge: str
    address: str
    prefix: int
    gateway: str
    mac: str
    host_interface: str
    mtu: int
    hostname: str
    ports: PortMap

    @property
    def id(self) -> str:
        """64 hex digits; another with each start."""
        return hashlib.sha256(self.host_interface.encode()).hexdigest()

    def steps(self) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
        """What to do beside the container's process, and what inside it, in this order."""
        published = any(self.ports.values())
        beside = CreateVeth(
            self.host_interface, INTERFACE, self.bridge, self.mac, self.mtu, hairpin=published
        )
        inside = ConfigureInterface(INTERFACE, f"{self.address}/{self.prefix}", self.gateway)
        return (beside,), (ConfigureLoopback(), inside)


def network_id(instance: str, name: str) -> str:
    """64 hex digits, always the same for a network of an instance."""
    return hashlib.sha256(f"{instance}/{name}".encode()).hexdigest()


def network_settings(
    instance: str, mode: str, endpoint: Endpoint | None, ports: PortMap | None = None
) -> dict[str, Any]:
    """Docker's `NetworkSettings` of a container's inspect.

    `mode` is the network's name: `bridge`, `host`, `none`. Without an endpoint (not running, or not on the
    bridge) addresses are empty and `ports` is shown.
    """
    place = {
        "EndpointID": endpoint.id if endpoint else "",
        "Gateway": endpoint.gateway if endpoint else "",
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "IPAddress": endpoint.address if endpoint else "",
        "IPPrefixLen": endpoint.prefix if endpoint else 0,
        "IPv6Gateway": "",
        "MacAddress": endpoint.mac if endpoint else "",
    }
    network = {
        **place,
        "Aliases": None,
        "DNSNames": [endpoint.hostname] if endpoint else None,
        "DriverOpts": None,
        "IPAMConfig": None,
        "Links": None,
        "NetworkID": network_id(instance, mode),
    }
    shown = endpoint.ports if endpoint else ports or {}
    where = {"Bridge": "", "SandboxID": "", "SandboxKey": ""}
    return {**where, "Ports": shown, **place, "Networks": {mode: network}}


def described(instance: str, name: str, driver: str, pool: Pool | None = None) -> dict[str, Any]:
    """A network as `GET /networks` shows it. `pool` gives the subnet and who has an address in it."""
    containers = {
        owner: {
            "Name": owner[:12],
            "EndpointID": "",
            "MacAddress": mac_of(address),
            "IPv4Address": f"{address}/{pool.subnet.prefixlen}",
            "IPv6Address": "",
        }
        for address, owner in (pool.taken if pool else {}).items()
        if pool
    }
    config = [{"Subnet": str(pool.subnet), "Gateway": pool.gateway}] if pool else []
    return {
        "Name": name,
        "Id": network_id(instance, name),
        "Created": "1970-01-01T00:00:00Z",
        "Scope": "local",
        "Driver": driver,
        "EnableIPv6": False,
        "IPAM": {"Driver": "default", "Options": None, "Config": config},
        "Internal": False,
        "Attachable": False,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": containers,
        "Options": {},
        "Labels": {},
    }
