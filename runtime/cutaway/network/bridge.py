"""The bridge: a switch inside the kernel, into which the host ends of all cables are plugged.

It is made when the first container needs it and removed when the engine stops and nobody uses it. It
carries the gateway's address, so that containers reach this host and, because the host *forwards*, what is
behind it. Forwarding is a switch of the whole machine (`net.ipv4.ip_forward`), which is put back to what it
was. Where is that remembered? Not in a file: after a reboot it would lie. It is written on the bridge
itself, as its alias, which lives and dies with what it tells of, survives the engine's death, and can be
read with `ip link`. A second engine copies the remark, so that the last one to leave puts the switch back.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
from collections.abc import Iterator
from pathlib import Path

from cutaway.errors import CutawayError, NotPermittedError
from cutaway.linux.netlink import Link, Netlink, delete_link, new_address, new_bridge, set_alias
from cutaway.network.pool import Subnet, free_subnet, mac_of

_REMARK = "cutaway"
_IP_FORWARD = "net/ipv4/ip_forward"
_SYSCTLS = Path("/proc/sys")
_USUAL_MTU = 1500


@dataclasses.dataclass(frozen=True, slots=True)
class Bridge:
    """A bridge that is there. `forwarding_before` is what `ip_forward` was before the first engine came."""

    name: str
    subnet: Subnet
    forwarding_before: str

    @property
    def gateway(self) -> str:
        """The bridge's own address."""
        return str(self.subnet.network_address + 1)

    @property
    def remark(self) -> str:
        """What is written on the interface: `cutaway 172.17.0.0/16 ip_forward=0`."""
        return f"{_REMARK} {self.subnet} ip_forward={self.forwarding_before}"

    @classmethod
    def parse(cls, link: Link) -> Bridge | None:
        """The bridge behind an interface; None when it is not one of ours, or was left half made."""
        try:
            word, subnet, forwarding = link.alias.split()
            before = forwarding.removeprefix("ip_forward=")
            found = cls(link.name, Subnet(subnet), before)
        except ValueError:
            return None
        return found if word == _REMARK and link.kind == "bridge" and found.remark == link.alias else None


def find(name: str) -> Bridge | None:
    """The bridge of this name, when it is there and whole."""
    with Netlink() as channel:
        return _bridges(channel.links()).get(name)


def ensure(name: str) -> Bridge:
    """The bridge of this name, made if need be, with forwarding on. Blocks for about 2 ms.

    Raises NotPermittedError when the kernel forbids it, ConflictError when every subnet is taken.
    """
    with _explained(name), _alone(), Netlink() as channel:
        links = channel.links()
        known = _bridges(links)
        bridge = known.get(name)
        if bridge is None:
            if any(link.name == name for link in links):  # an engine was killed while it made it
                channel.send([delete_link(name)])
            others = [other.forwarding_before for other in known.values()]
            before = others[0] if others else _read(_IP_FORWARD)
            bridge = Bridge(name, free_subnet(route.target for route in channel.routes()), before)
            _make(channel, bridge)
        _write(_IP_FORWARD, "1")
        return bridge


def _make(channel: Netlink, bridge: Bridge) -> None:
    channel.send([new_bridge(bridge.name, mac_of(bridge.gateway))])
    address = f"{bridge.gateway}/{bridge.subnet.prefixlen}"
    channel.send([new_address(bridge.name, channel.index(bridge.name), address)])
    # lets packets from 127.0.0.1 leave through the bridge: for published ports; see `nat`
    _write(f"net/ipv4/conf/{bridge.name}/route_localnet", "1")
    channel.send([set_alias(bridge.name, bridge.remark)])  # last: from now on it is whole


def remove(name: str) -> None:
    """Remove the bridge; the last engine to do so puts forwarding back. No error when it is not there."""
    with _explained(name), _alone(), Netlink() as channel:
        known = _bridges(channel.links())
        bridge = known.pop(name, None)
        try:
            channel.send([delete_link(name)])
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise
        if bridge is not None and not known:
            _write(_IP_FORWARD, bridge.forwarding_before)


def uplink_mtu() -> int:
    """The largest packet, in bytes, that the default route's interface takes; 1500 without such a route."""
    with Netlink() as channel:
        uplinks = {route.interface for route in channel.routes() if route.target.prefixlen == 0}
        return min((link.mtu for link in channel.links() if link.index in uplinks), default=_USUAL_MTU)


def _bridges(links: list[Link]) -> dict[str, Bridge]:
    found = (Bridge.parse(link) for link in links)
    return {bridge.name: bridge for bridge in found if bridge is not None}


def _read(name: str) -> str:
    return (_SYSCTLS / name).read_text().strip()


def _write(name: str, value: str) -> None:
    if _read(name) != value:
        (_SYSCTLS / name).write_text(value)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One engine of this machine at a time: the lock is on the very switch that they share."""
    with open(_SYSCTLS / _IP_FORWARD) as switch:
        fcntl.flock(switch, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _explained(name: str) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise NotPermittedError(
            f"cannot make the bridge {name}: {error}",
            "needs root and a writable /proc/sys/net; --network none or host do without; see: cutaway doctor",
        ) from error
    except OSError as error:
        raise CutawayError(
            f"cannot make the bridge {name}: {error}",
            "does this kernel have bridge and veth? see: cutaway doctor",
        ) from error
