"""How packets get out of the bridge's network and into it: one nftables table, named like the instance.

Out: a container's address means nothing outside. `postrouting` lets its packets leave under the address of
the interface by which they go (masquerade); the kernel remembers the connection and turns answers back.

In: a published port is an entry in a map, (protocol, host's port) -> (container, port), or with the host's
address in front for a publication on one address. `prerouting` looks there for packets that come from other
hosts and from containers, `output` for those of this host; what is found is rewritten (DNAT). One lookup,
however many ports there are. Two cases need a masquerade towards the bridge as well, or the answer would
not find its way: from 127.0.0.1, an address that no container can answer (the bridge also needs
`route_localnet`), and from a container to itself through the host's port.

`forward` keeps what was not published shut, as Docker does, and `guard` keeps containers off the host's own
127.0.0.0/8, which `route_localnet` would open to them. A chain of another table that drops forwarded
packets (a firewall, or Docker's own FORWARD policy) still drops them: an `accept` ends only its own table.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable

from cutaway.linux.netlink import Message
from cutaway.network import nftables as nft
from cutaway.network.ports import EVERYWHERE, Publication

ON_ALL, ON_ONE = "published", "published_on"
_TARGET = (nft.TYPE_ADDRESS, nft.TYPE_PORT)
_PRIORITY_RAW, _PRIORITY_DNAT, _PRIORITY_FILTER, _PRIORITY_SNAT = -300, -100, 0, 100


class Nat:
    """The table of one instance. Every method is one batch, blocks for some ms and may raise OSError."""

    def __init__(self, table: str, bridge: str, subnet: str) -> None:
        self._table = table
        self._bridge = bridge
        self._subnet = subnet

    def install(self, published: Iterable[tuple[str, Publication]] = ()) -> None:
        """Make the table anew with these publications, each with its container's address.

        A table of that name that a dead engine left is replaced in the same instant: no packet sees none.
        """
        fresh = [nft.new_table(self._table), nft.delete_table(self._table), nft.new_table(self._table)]
        nft.commit([*fresh, *self._maps(), *self._chains(), *self._rules(), *self._entries(published)])

    def publish(self, address: str, publications: Iterable[Publication]) -> None:
        """Let these ports lead to the container with this address."""
        nft.commit(self._entries((address, publication) for publication in publications))

    def withdraw(self, publications: Iterable[Publication]) -> None:
        """Undo `publish`. Raises OSError with ENOENT when one is not published; then none is withdrawn."""
        by_map: dict[str, list[bytes]] = {}
        for publication in publications:
            name, key = _key(publication)
            by_map.setdefault(name, []).append(key)
        nft.commit(nft.delete_elements(self._table, name, keys) for name, keys in by_map.items())

    def remove(self) -> None:
        """Remove the table with everything in it; no error when it is not there."""
        nft.commit([nft.new_table(self._table), nft.delete_table(self._table)])

    def _entries(self, published: Iterable[tuple[str, Publication]]) -> list[Message]:
        by_map: dict[str, dict[bytes, bytes]] = {}
        for address, publication in published:
            name, key = _key(publication)
            by_map.setdefault(name, {})[key] = socket.inet_aton(address) + _port(publication.port.number)
        return [nft.add_elements(self._table, name, elements) for name, elements in by_map.items()]

    def _maps(self) -> list[Message]:
        key = (nft.TYPE_PROTOCOL, nft.TYPE_PORT)
        return [
            nft.new_map(self._table, ON_ALL, key, _TARGET, 1),
            nft.new_map(self._table, ON_ONE, (nft.TYPE_ADDRESS, *key), _TARGET, 2),
        ]

    def _chains(self) -> list[Message]:
        return [
            nft.new_chain(self._table, "publish"),
            nft.new_chain(self._table, "guard", "filter", nft.HOOK_PREROUTING, _PRIORITY_RAW),
            nft.new_chain(self._table, "prerouting", "nat", nft.HOOK_PREROUTING, _PRIORITY_DNAT),
            nft.new_chain(self._table, "output", "nat", nft.HOOK_OUTPUT, _PRIORITY_DNAT),
            nft.new_chain(self._table, "forward", "filter", nft.HOOK_FORWARD, _PRIORITY_FILTER),
            nft.new_chain(self._table, "postrouting", "nat", nft.HOOK_POSTROUTING, _PRIORITY_SNAT),
        ]

    def _rules(self) -> list[Message]:
        incoming = nft.interface(nft.META_IIFNAME, self._bridge)
        outgoing = nft.interface(nft.META_OIFNAME, self._bridge)
        leaving = nft.interface(nft.META_OIFNAME, self._bridge, equal=False)
        from_containers = nft.address(nft.SOURCE, self._subnet)
        redirected = nft.connection(nft.CT_STATUS, nft.STATUS_DNAT)
        answers = nft.connection(nft.CT_STATE, nft.STATE_ESTABLISHED_OR_RELATED)
        accept, drop, masquerade = nft.verdict(nft.ACCEPT), nft.verdict(nft.DROP), nft.masquerade()
        destination = nft.payload(nft.NETWORK_HEADER, nft.DESTINATION, 4, nft.FIRST)
        loopback = "127.0.0.0/8"
        return [
            self._rule(
                "guard",
                "no container reaches the host's loopback",
                incoming,
                nft.address(nft.DESTINATION, loopback),
                drop,
            ),
            self._rule(
                "prerouting",
                "to an address of this host",
                nft.to_this_host(),
                nft.verdict(nft.JUMP, "publish"),
            ),
            self._rule(
                "output", "from this host to itself", nft.to_this_host(), nft.verdict(nft.JUMP, "publish")
            ),
            self._rule(
                "publish",
                "published on one address",
                nft.redirect_by(ON_ONE, [destination, *_service(nft.SECOND)]),
            ),
            self._rule("publish", "published on every address", nft.redirect_by(ON_ALL, _service(nft.FIRST))),
            self._rule("forward", "answers to containers", outgoing, answers, accept),
            self._rule("forward", "published ports", outgoing, redirected, accept),
            self._rule("forward", "between containers", incoming, outgoing, accept),
            self._rule("forward", "what is not published stays shut", outgoing, drop),
            self._rule(
                "postrouting",
                "containers leave under the host's address",
                from_containers,
                leaving,
                masquerade,
            ),
            self._rule(
                "postrouting",
                "a container to itself through the host",
                from_containers,
                outgoing,
                redirected,
                masquerade,
            ),
            self._rule(
                "postrouting", "from 127.0.0.1", nft.address(nft.SOURCE, loopback), outgoing, masquerade
            ),
        ]

    def _rule(self, chain: str, comment: str, *parts: list[nft.Expression] | nft.Expression) -> Message:
        *conditions, action = (part if isinstance(part, list) else [part] for part in parts)
        expressions = [expression for condition in conditions for expression in condition]
        return nft.new_rule(self._table, chain, comment, [*expressions, nft.counter(), *action])


def _service(register: int) -> list[nft.Expression]:
    """Load protocol and destination port into this register and the one behind it."""
    behind = {nft.FIRST: nft.SECOND, nft.SECOND: nft.THIRD}[register]
    port = nft.payload(nft.TRANSPORT_HEADER, 2, 2, behind)
    return [nft.meta(nft.META_L4PROTO, register), port]


def _key(publication: Publication) -> tuple[str, bytes]:
    """Which map, and which key in it: every part is padded to four bytes, as registers are."""
    protocol = socket.IPPROTO_UDP if publication.port.protocol == "udp" else socket.IPPROTO_TCP
    service = struct.pack("=Bxxx", protocol) + _port(publication.host_port)
    if publication.host_address == EVERYWHERE:
        return ON_ALL, service
    return ON_ONE, socket.inet_aton(publication.host_address) + service


def _port(number: int) -> bytes:
    return struct.pack(">Hxx", number)
