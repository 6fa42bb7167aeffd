"""Interfaces, addresses and routes, asked of the kernel in its own language: rtnetlink.

A netlink socket is a telephone to one network namespace: the one that the process was in when the socket
was opened, for as long as the socket lives. What is said are messages: a header (length, type, flags,
number), a fixed struct (which interface, which family) and a list of attributes (length, type, value,
padded to four bytes). With `NLM_F_ACK` the kernel answers each message with an error number, 0 for done.
Several messages may go out in one `send`; the kernel works through them in order.

A container's network is five messages. Beside it, in the keeper: make a pair of veth interfaces, the two
ends of a cable, one end plugged into the bridge, the other born inside the container's namespace as `eth0`.
Inside it, in the child: `lo` up; `eth0` up, its address, a route. The child opens its socket after its
namespace was made.

This module is on the keeper's hot path: standard library only, each message packed by hand. The names of
types and attributes are those of netlink(7), rtnetlink(7) and <linux/if_link.h>.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import os
import socket
import struct
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, Self

from cutaway.linux.step import Context, Step

NETLINK_ROUTE, NETLINK_NETFILTER = 0, 12
NLM_F_REQUEST, NLM_F_MULTI, NLM_F_ACK, NLM_F_DUMP, NLM_F_EXCL, NLM_F_CREATE = 1, 2, 4, 0x300, 0x200, 0x400
NLM_F_ACK_TLVS = 0x200
NLMSG_ERROR, NLMSG_DONE = 2, 3
_SOL_NETLINK, _NETLINK_CAP_ACK, _NETLINK_EXT_ACK = 270, 10, 11
_NLMSGERR_ATTR_MSG = 1

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_NEWADDR, RTM_NEWROUTE, RTM_GETROUTE = 16, 17, 18, 20, 24, 26
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_MASTER, IFLA_LINKINFO = 1, 3, 4, 10, 18
IFLA_NET_NS_PID, IFLA_IFALIAS = 19, 20
IFLA_INFO_KIND, IFLA_INFO_DATA, IFLA_INFO_SLAVE_KIND, IFLA_INFO_SLAVE_DATA = 1, 2, 4, 5
VETH_INFO_PEER, IFLA_BRPORT_MODE = 1, 4
IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST = 1, 2, 4
RTA_DST, RTA_OIF, RTA_GATEWAY = 1, 4, 5
RT_TABLE_MAIN, RTPROT_BOOT, RT_SCOPE_UNIVERSE, RTN_UNICAST = 254, 3, 0, 1
IFF_UP = 1

_HEADER = struct.Struct("=IHHII")
_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBI")
_ROUTE = struct.Struct("=BBBBBBBBI")


@dataclasses.dataclass(frozen=True, slots=True)
class Message:
    """One request: its type, flags beyond REQUEST and ACK, its packed body, and the same in words."""

    type: int
    flags: int
    body: bytes
    text: str


@dataclasses.dataclass(frozen=True, slots=True)
class Link:
    """An interface as the kernel lists it. `master` is the index of its bridge or 0; `mtu` in bytes."""

    index: int
    name: str
    flags: int
    master: int
    mtu: int
    kind: str
    alias: str


@dataclasses.dataclass(frozen=True, slots=True)
class Route:
    """Where packets for a network go: an interface's index, or 0. The default route leads to 0.0.0.0/0."""

    target: ipaddress.IPv4Network
    interface: int


class Channel(Protocol):
    """What steps say their messages to: the kernel, or a recorder that writes them down."""

    def send(self, messages: Sequence[Message]) -> None:
        """Have these done, in order. Raises OSError for the first that the kernel refuses."""
        ...

    def index(self, name: str) -> int:
        """The number of an interface. Raises OSError when there is none of this name."""
        ...

    def close(self) -> None:
        """Hang up."""
        ...


class Netlink:
    """An open line to the kernel, in the network namespace that this process is in now."""

    def __init__(self, protocol: int = NETLINK_ROUTE) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_EXT_ACK, 1)
        self._number = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up. May be called twice."""
        self._socket.close()

    def send(self, messages: Sequence[Message]) -> None:
        """Have these done, in order, with one send; returns when the kernel has acknowledged every one.

        Raises OSError for the first refused; its filename is the message in words. The
        messages after a refused one are carried out, except in a netfilter batch: it is all or nothing.
        """
        waiting: dict[int, Message] = {}
        packets = []
        for message in messages:
            packets.append(self._packed(message, message.flags))
            if message.flags & NLM_F_ACK:
                waiting[self._number] = message
        self._socket.sendall(b"".join(packets))
        refused: list[OSError] = []
        while waiting:
            for kind, flags, number, body in self._receive():
                if kind == NLMSG_ERROR and number in waiting:
                    refused += _refusal(waiting.pop(number), flags, body)
            if refused:
                raise refused[0]

    def dump(self, kind: int, body: bytes) -> Iterator[bytes]:
        """The bodies of everything of a kind, e.g. `RTM_GETLINK`. Raises OSError when refused."""
        question = Message(kind, NLM_F_DUMP, body, "dump")
        self._socket.sendall(self._packed(question, NLM_F_DUMP))
        mine = self._number
        while True:
            for answer, flags, number, rest in self._receive():
                if number != mine:
                    continue
                if answer == NLMSG_DONE:
                    return
                if answer == NLMSG_ERROR:
                    raise _refusal(question, flags, rest)[0]
                yield rest

    def index(self, name: str) -> int:
        """The number of an interface. Raises OSError when there is none of this name."""
        return socket.if_nametoindex(name)

    def links(self) -> list[Link]:
        """Every interface of this namespace."""
        return [_parse_link(body) for body in self.dump(RTM_GETLINK, _LINK.pack(0, 0, 0, 0, 0))]

    def routes(self) -> list[Route]:
        """Every IPv4 route of this namespace, in all tables."""
        return [
            _parse_route(body)
            for body in self.dump(RTM_GETROUTE, _ROUTE.pack(socket.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0))
        ]

    def _packed(self, message: Message, flags: int) -> bytes:
        self._number += 1
        length = _HEADER.size + len(message.body)
        return _HEADER.pack(length, message.type, flags | NLM_F_REQUEST, self._number, 0) + message.body

    def _receive(self) -> Iterator[tuple[int, int, int, bytes]]:
        """(type, flags, number, body) of each message of the next packet."""
        packet = self._socket.recv(1 << 17)
        while len(packet) >= _HEADER.size:
            length, kind, flags, number, _ = _HEADER.unpack_from(packet)
            yield kind, flags, number, packet[_HEADER.size : length]
            packet = packet[_aligned(length) :]


def _refusal(message: Message, flags: int, body: bytes) -> list[OSError]:
    """An acknowledgement as a list: empty for "done". The kernel may add a reason in words (extended ack)."""
    (negative,) = struct.unpack_from("=i", body)
    if not negative:
        return []
    reason = os.strerror(-negative)
    if flags & NLM_F_ACK_TLVS:
        words = attributes(body[4 + _HEADER.size :]).get(_NLMSGERR_ATTR_MSG)
        reason += f" ({words.rstrip(bytes(1)).decode()})" if words else ""
    return [OSError(-negative, reason, message.text)]


def _aligned(length: int) -> int:
    return (length + 3) & ~3


def attribute(kind: int, value: bytes | str | int) -> bytes:
    """One attribute, padded. An int is 32 bits, a str ends in a zero byte, bytes are taken as they are."""
    if isinstance(value, int):
        value = struct.pack("=I", value)
    elif isinstance(value, str):
        value = value.encode() + b"\0"
    length = 4 + len(value)
    return struct.pack("=HH", length, kind) + value + bytes(_aligned(length) - length)


def attributes(data: bytes) -> dict[int, bytes]:
    """A list of attributes as kind -> value, without the flag bits of the kind."""
    found = {}
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        if length < 4:
            break
        found[kind & 0x3FFF] = data[4:length]
        data = data[_aligned(length) :]
    return found


def _parse_link(body: bytes) -> Link:
    _, _, index, flags, _ = _LINK.unpack_from(body)
    found = attributes(body[_LINK.size :])
    kind = attributes(found.get(IFLA_LINKINFO, b"")).get(IFLA_INFO_KIND, b"")
    name, words = _string(found.get(IFLA_IFNAME, b"")), _string(found.get(IFLA_IFALIAS, b""))
    return Link(
        index, name, flags, _number(found, IFLA_MASTER), _number(found, IFLA_MTU), _string(kind), words
    )


def _parse_route(body: bytes) -> Route:
    found = attributes(body[_ROUTE.size :])
    target = ipaddress.IPv4Network((found.get(RTA_DST, bytes(4)), body[1]))
    return Route(target, _number(found, RTA_OIF))


def _number(found: dict[int, bytes], kind: int) -> int:
    return int.from_bytes(found.get(kind, b""), sys.byteorder)


def _string(value: bytes) -> str:
    return value.split(b"\0")[0].decode(errors="replace")


def hardware_address(mac: str) -> bytes:
    """The six bytes of `02:42:ac:11:00:02`."""
    return bytes.fromhex(mac.replace(":", ""))


# Messages


def new_bridge(name: str, mac: str) -> Message:
    """Make a bridge that is up. Its MAC is given, or it would change with each port that comes and goes."""
    info = attribute(IFLA_LINKINFO, attribute(IFLA_INFO_KIND, "bridge"))
    body = _LINK.pack(0, 0, 0, IFF_UP, IFF_UP) + attribute(IFLA_IFNAME, name)
    body += attribute(IFLA_ADDRESS, hardware_address(mac)) + info
    return Message(RTM_NEWLINK, _CREATE, body, f"RTM_NEWLINK bridge {name} address {mac} up")


def set_alias(name: str, alias: str) -> Message:
    """Write a remark on an interface, at most 255 bytes: `ip link` shows it, and it lives as long as that."""
    body = _LINK.pack(0, 0, 0, 0, 0) + attribute(IFLA_IFNAME, name) + attribute(IFLA_IFALIAS, alias)
    return Message(RTM_NEWLINK, NLM_F_ACK, body, f"RTM_NEWLINK {name} alias {alias}")


def new_veth(host: str, peer: str, pid: int, mac: str, mtu: int, bridge: tuple[str, int]) -> Message:
    """Make a cable: `host` here, plugged into the bridge (name, index); `peer` in `pid`'s namespace.

    This end is up at once. The other cannot be: while it is being made it has no peer yet, ENOTCONN.
    """
    other = _LINK.pack(0, 0, 0, 0, 0) + attribute(IFLA_IFNAME, peer) + attribute(IFLA_NET_NS_PID, pid)
    other += attribute(IFLA_ADDRESS, hardware_address(mac)) + attribute(IFLA_MTU, mtu)
    kind = attribute(IFLA_INFO_KIND, "veth") + attribute(IFLA_INFO_DATA, attribute(VETH_INFO_PEER, other))
    body = _LINK.pack(0, 0, 0, IFF_UP, IFF_UP) + attribute(IFLA_IFNAME, host) + attribute(IFLA_MTU, mtu)
    body += attribute(IFLA_MASTER, bridge[1]) + attribute(IFLA_LINKINFO, kind)
    words = f"RTM_NEWLINK veth {host} master {bridge[0]} up, peer {peer} address {mac} netns {pid}"
    return Message(RTM_NEWLINK, _CREATE, body, words)


def hairpin(name: str) -> Message:
    """Let the bridge send frames back through the port they came by: a container talking to itself by DNAT.

    Only where the kernel shows bridged frames to the IP rules (br_netfilter) does it matter.
    """
    slave = attribute(IFLA_INFO_SLAVE_KIND, "bridge")
    slave += attribute(IFLA_INFO_SLAVE_DATA, attribute(IFLA_BRPORT_MODE, b"\1"))
    body = _LINK.pack(0, 0, 0, 0, 0) + attribute(IFLA_IFNAME, name) + attribute(IFLA_LINKINFO, slave)
    return Message(RTM_NEWLINK, NLM_F_ACK, body, f"RTM_NEWLINK {name} hairpin on")


def link_up(name: str, index: int) -> Message:
    """Switch an interface on."""
    return Message(RTM_NEWLINK, NLM_F_ACK, _LINK.pack(0, 0, index, IFF_UP, IFF_UP), f"RTM_NEWLINK {name} up")


def delete_link(name: str) -> Message:
    """Remove an interface; of a veth pair both ends go."""
    body = _LINK.pack(0, 0, 0, 0, 0) + attribute(IFLA_IFNAME, name)
    return Message(RTM_DELLINK, NLM_F_ACK, body, f"RTM_DELLINK {name}")


def new_address(name: str, index: int, address: str) -> Message:
    """Give an interface an address such as `172.17.0.2/16`; the route to that network comes with it."""
    interface = ipaddress.IPv4Interface(address)
    body = _ADDRESS.pack(socket.AF_INET, interface.network.prefixlen, 0, RT_SCOPE_UNIVERSE, index)
    body += attribute(IFA_LOCAL, interface.ip.packed) + attribute(IFA_ADDRESS, interface.ip.packed)
    body += attribute(IFA_BROADCAST, interface.network.broadcast_address.packed)
    return Message(RTM_NEWADDR, _CREATE, body, f"RTM_NEWADDR {address} dev {name}")


def default_route(gateway: str) -> Message:
    """Everything that is not near goes to the gateway."""
    body = _ROUTE.pack(socket.AF_INET, 0, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, RT_SCOPE_UNIVERSE, RTN_UNICAST, 0)
    body += attribute(RTA_GATEWAY, socket.inet_aton(gateway))
    return Message(RTM_NEWROUTE, _CREATE, body, f"RTM_NEWROUTE default via {gateway}")


_CREATE = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL


# Steps


@contextmanager
def _line(context: Context) -> Iterator[Channel]:
    """A line that is opened now, so that it leads to the namespace that the process is in now."""
    recorder = getattr(context.kernel, "netlink", None)  # a kernel that only writes down brings its own
    channel: Channel = recorder() if recorder else Netlink()
    try:
        yield channel
    finally:
        channel.close()


@dataclasses.dataclass(frozen=True, slots=True)
class CreateVeth(Step):
    """Lay the cable between the bridge and the container; run beside it, where `context.pid` is its process.

    `mac` and `mtu` (bytes) are those of the container's end, which is born under its final name. `hairpin`
    lets the container reach its own published port.
    """

    host: str
    peer: str
    bridge: str
    mac: str
    mtu: int
    hairpin: bool = False

    def describe(self) -> str:
        """One line for people."""
        return f"connect a veth pair: {self.host} on the bridge {self.bridge}, {self.peer} in the container"

    def execute(self, context: Context) -> None:
        """Raises OSError: EEXIST for a name in use, ENODEV without the bridge, ESRCH for an ended process."""
        with _line(context) as channel:
            bridge = (self.bridge, channel.index(self.bridge))
            cable = new_veth(self.host, self.peer, context.pid, self.mac, self.mtu, bridge)
            channel.send([cable, hairpin(self.host)] if self.hairpin else [cable])


@dataclasses.dataclass(frozen=True, slots=True)
class ConfigureLoopback(Step):
    """Switch on `lo`, which a new network namespace has but leaves down; 127.0.0.1 comes by itself."""

    def describe(self) -> str:
        """One line for people."""
        return "bring up lo with 127.0.0.1"

    def execute(self, context: Context) -> None:
        """Raises OSError."""
        with _line(context) as channel:
            channel.send([link_up("lo", channel.index("lo"))])


@dataclasses.dataclass(frozen=True, slots=True)
class ConfigureInterface(Step):
    """Inside the container, after the cable was laid: the interface up, its address, the route out."""

    name: str
    address: str
    gateway: str

    def describe(self) -> str:
        """One line for people."""
        return f"give {self.name} the address {self.address} and a default route via {self.gateway}"

    def execute(self, context: Context) -> None:
        """Raises OSError: ENODEV when the interface is not there."""
        with _line(context) as channel:
            index = channel.index(self.name)
            address = new_address(self.name, index, self.address)
            channel.send([link_up(self.name, index), address, default_route(self.gateway)])
