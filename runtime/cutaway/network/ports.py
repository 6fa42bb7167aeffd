"""Publishing: which ports of this machine lead to which ports of a container.

`-p 127.0.0.1:8080:80` is a *binding*: the wish, in which the host's port may be left open. A *publication*
is what came of it: one address and one port of the host, for one container. A port can be wished for by two
containers, or a program of the host may have it. To find out before anything is started, and to keep it so,
the engine binds a socket to it and does not listen: nothing ever arrives there, because the kernel rewrites
the address of packets (see `nat`) before it looks for a socket; but nobody else can bind it any more.
"""

from __future__ import annotations

import dataclasses
import errno
import ipaddress
import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cutaway.errors import BadInputError, ConflictError

EVERYWHERE = "0.0.0.0"
EPHEMERAL = range(32768, 61000)
_KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}

PortMap = dict[str, list[dict[str, str]] | None]


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Port:
    """A port of a container: `80/tcp`."""

    number: int
    protocol: str

    def __str__(self) -> str:
        return f"{self.number}/{self.protocol}"

    @classmethod
    def parse(cls, text: str) -> Port:
        """`80`, `80/tcp`, `53/udp`. Raises BadInputError."""
        number, _, protocol = text.partition("/")
        protocol = protocol.lower() or "tcp"
        if protocol not in _KINDS:
            raise BadInputError(f"invalid proto: {protocol}", "a port is published for tcp or udp")
        port = _number(number, text)
        if port == 0:
            raise BadInputError(f"invalid port specification: {text!r}", "a port is a number from 1 to 65535")
        return cls(port, protocol)


@dataclasses.dataclass(frozen=True, slots=True)
class Binding:
    """The wish: a port of the container, an address of the host, and the host's ports that would do."""

    port: Port
    host_address: str
    host_ports: range


@dataclasses.dataclass(frozen=True, slots=True)
class Publication:
    """What came of it."""

    port: Port
    host_address: str
    host_port: int


def parse_bindings(wanted: Mapping[str, Sequence[Mapping[str, str]] | None] | None) -> list[Binding]:
    """Docker's `HostConfig.PortBindings`: `{"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}`.

    No address means all; no port, or 0, means any free one; `8000-8010` any of these. Raises BadInputError.
    """
    found = []
    for text, places in (wanted or {}).items():
        port = Port.parse(text)
        for place in places or [{}]:
            ports = _host_ports(place.get("HostPort") or "")
            found.append(Binding(port, _host_address(place.get("HostIp") or ""), ports))
    return found


def _host_address(text: str) -> str:
    if not text:
        return EVERYWHERE
    try:
        address = ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        raise BadInputError(f"invalid IP address: {text}", "publish as -p 127.0.0.1:8080:80") from None
    if address.version == 6:
        raise BadInputError(
            f"cannot publish on {text}: IPv6 is not supported yet",
            "leave the address out or name an IPv4 address of this machine",
        )
    return str(address)


def _host_ports(text: str) -> range:
    first, dash, last = text.partition("-")
    low = _number(first, text) if first else 0
    high = _number(last, text) if dash else low
    if high < low:
        raise BadInputError(f"invalid port range: {text}", "the first port is not above the last: 8000-8010")
    return range(low, high + 1) if low else EPHEMERAL


def _number(text: str, whole: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= 65535):
        raise BadInputError(f"invalid port specification: {whole!r}", "a port is a number from 1 to 65535")
    return int(text)


def to_docker(publications: Iterable[Publication], exposed: Iterable[str] = ()) -> PortMap:
    """Docker's `NetworkSettings.Ports`: exposed but unpublished ports are null."""
    ports: PortMap = {}
    for publication in publications:
        place = {"HostIp": publication.host_address, "HostPort": str(publication.host_port)}
        known = ports.get(str(publication.port))
        ports[str(publication.port)] = [*(known or []), place]
    for text in exposed:
        ports.setdefault(str(Port.parse(text)), None)
    return ports


def from_docker(ports: PortMap) -> list[Publication]:
    """What `to_docker` wrote."""
    return [
        Publication(Port.parse(text), place["HostIp"], int(place["HostPort"]))
        for text, places in ports.items()
        for place in places or ()
    ]


class Reservations:
    """The host's ports that containers of this engine hold, with a bound socket for each."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, int, str], tuple[str, socket.socket]] = {}
        self._next = EPHEMERAL.start

    def take(self, container_id: str, bindings: Iterable[Binding]) -> list[Publication]:
        """Reserve a port for each binding, or none at all.

        Raises ConflictError, with Docker's words, for a port that a container or another program has.
        """
        try:
            return [self._take(container_id, binding) for binding in bindings]
        except BaseException:
            self.release(container_id)
            raise

    def retake(self, container_id: str, publications: Iterable[Publication]) -> list[Publication]:
        """After a restart: reserve again what runs already. Returns those that another program has by now."""
        lost = []
        for publication in publications:
            ports = range(publication.host_port, publication.host_port + 1)
            try:
                self._take(container_id, Binding(publication.port, publication.host_address, ports))
            except ConflictError:
                lost.append(publication)
        return lost

    def release(self, container_id: str) -> None:
        """Let go of all ports of a container."""
        for key in [key for key, (owner, _) in self._held.items() if owner == container_id]:
            self._held.pop(key)[1].close()

    def close(self) -> None:
        """Let go of everything."""
        while self._held:
            self._held.popitem()[1][1].close()

    def _take(self, container_id: str, binding: Binding) -> Publication:
        open_choice = binding.host_ports == EPHEMERAL
        ports = self._turned() if open_choice else binding.host_ports
        refusal: ConflictError | None = None
        for port in ports:
            try:
                held = self._reserve(binding.port.protocol, binding.host_address, port)
            except ConflictError as error:
                refusal = error
                continue
            self._held[binding.port.protocol, port, binding.host_address] = (container_id, held)
            if open_choice:
                self._next = port + 1
            return Publication(binding.port, binding.host_address, port)
        raise refusal or ConflictError("all ports are allocated")

    def _turned(self) -> Iterable[int]:
        """The ephemeral ports, beginning behind the one given last: a client may still remember that one."""
        start = self._next if self._next in EPHEMERAL else EPHEMERAL.start
        return (*range(start, EPHEMERAL.stop), *range(EPHEMERAL.start, start))

    def _reserve(self, protocol: str, address: str, port: int) -> socket.socket:
        for held_protocol, held_port, held_address in self._held:
            overlaps = address == held_address or EVERYWHERE in (address, held_address)
            if (held_protocol, held_port) == (protocol, port) and overlaps:
                raise ConflictError(
                    f"Bind for {address}:{port} failed: port is already allocated",
                    "another container publishes it; see: ps",
                )
        held = socket.socket(socket.AF_INET, _KINDS[protocol])
        try:
            held.bind((address, port))
        except OSError as error:
            held.close()
            raise _bind_refusal(address, port, error) from error
        return held


def _bind_refusal(address: str, port: int, error: OSError) -> ConflictError:
    reason = (error.strerror or os.strerror(error.errno or 0)).lower()
    hints: dict[Any, str] = {
        errno.EADDRINUSE: f"a program of this machine has it; see: ss -lntup 'sport = :{port}'",
        errno.EADDRNOTAVAIL: "no interface of this machine has that address; see: ip address",
        errno.EACCES: "ports below 1024 need root",
    }
    return ConflictError(
        f"failed to bind host port for {address}:{port}: {reason}", hints.get(error.errno, "")
    )
