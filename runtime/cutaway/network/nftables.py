"""The words of nf_tables: messages that make tables, chains, maps and rules.

A rule is a short program for a machine inside the kernel. It has registers; an *expression* loads something
of the packet into one (`payload`, `meta`, `ct`, `fib`), compares it (`cmp`), looks it up in a map
(`lookup`), or acts (`immediate` for a verdict, `nat`, `masq`, `counter`). A comparison that fails ends the
rule. All changes of one batch become true at once or not at all.

pyroute2 knows the structs and packs them; what it packs is sent over our own netlink socket, which
acknowledges each message of a batch. The library is imported at the first use of a network, in a worker
thread: it costs the engine 60 ms and 11 MB, and nothing that starts a container imports it. Source:
<linux/netfilter/nf_tables.h>, nft(8).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cutaway.linux.netlink import NETLINK_NETFILTER, NLM_F_ACK, NLM_F_CREATE, Message, Netlink

NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END, NFNL_SUBSYS_NFTABLES = 0x10, 0x11, 10
NFT_MSG_NEWTABLE, NFT_MSG_DELTABLE, NFT_MSG_NEWCHAIN, NFT_MSG_NEWRULE = 0, 2, 3, 6
NFT_MSG_NEWSET, NFT_MSG_NEWSETELEM, NFT_MSG_DELSETELEM = 9, 12, 14
NLM_F_APPEND = 0x800

VERDICT_REGISTER, FIRST, SECOND, THIRD = (
    0,
    1,
    9,
    10,
)  # FIRST is 16 bytes wide: NFT_REG_1; SECOND its bytes 4 to 7
META_IIFNAME, META_OIFNAME, META_L4PROTO = 6, 7, 16
CT_STATE, CT_STATUS = 0, 2
STATE_ESTABLISHED_OR_RELATED, STATUS_DNAT = 0x02 | 0x04, 0x20
NETWORK_HEADER, TRANSPORT_HEADER = 1, 2
SOURCE, DESTINATION = 12, 16  # offsets in the IPv4 header
EQUAL, UNEQUAL = 0, 1
DROP, ACCEPT, JUMP = 0, 1, -3
HOOK_PREROUTING, HOOK_FORWARD, HOOK_OUTPUT, HOOK_POSTROUTING = 0, 2, 3, 4
ADDRESS_TYPE_LOCAL = 2
TYPE_ADDRESS, TYPE_PROTOCOL, TYPE_PORT = 7, 12, 13  # how nft prints the parts of a key

Expression = dict[str, Any]
Attributes = list[tuple[str, Any]]


# Expressions


def _expression(name: str, **values: Any) -> Expression:
    data = {"attrs": [(f"NFTA_{name.upper()}_{key.upper()}", value) for key, value in values.items()]}
    return {"attrs": [("NFTA_EXPR_NAME", name), ("NFTA_EXPR_DATA", data)]}


def _value(data: bytes) -> dict[str, Any]:
    return {"attrs": [("NFTA_DATA_VALUE", data)]}


def compare(register: int, value: bytes, *, equal: bool = True) -> Expression:
    """Go on only when the register begins with this value, or with `equal=False` when it does not."""
    return _expression("cmp", sreg=register, op=EQUAL if equal else UNEQUAL, data=_value(value))


def mask(register: int, bits: bytes) -> Expression:
    """Keep these bits of a register."""
    nothing = _value(bytes(len(bits)))
    return _expression("bitwise", sreg=register, dreg=register, len=len(bits), mask=_value(bits), xor=nothing)


def payload(base: int, offset: int, length: int, register: int) -> Expression:
    """Load bytes of a header."""
    return _expression("payload", dreg=register, base=base, offset=offset, len=length)


def meta(key: int, register: int) -> Expression:
    """Load what the kernel knows of the packet, such as its interface."""
    return _expression("meta", dreg=register, key=key)


def interface(key: int, name: str, *, equal: bool = True) -> list[Expression]:
    """The packet came in by (META_IIFNAME) or goes out by (META_OIFNAME) this interface."""
    return [meta(key, FIRST), compare(FIRST, name.encode().ljust(16, b"\0"), equal=equal)]


def address(offset: int, subnet: str) -> list[Expression]:
    """The SOURCE or DESTINATION lies in a subnet."""
    base, _, bits = subnet.partition("/")
    bitmask = struct.pack(">I", (0xFFFFFFFF << (32 - int(bits))) & 0xFFFFFFFF)
    load = payload(NETWORK_HEADER, offset, 4, FIRST)
    return [load, mask(FIRST, bitmask), compare(FIRST, socket.inet_aton(base))]


def connection(key: int, bits: int) -> list[Expression]:
    """The connection's CT_STATE or CT_STATUS has one of these bits."""
    loaded = _expression("ct", dreg=FIRST, key=key)
    return [loaded, mask(FIRST, struct.pack("=I", bits)), compare(FIRST, bytes(4), equal=False)]


def to_this_host() -> list[Expression]:
    """The destination is an address of this machine, 127.0.0.0/8 included."""
    # NFT_FIB_RESULT_ADDRTYPE is the number 3, which pyroute2 takes for two flags
    kind = {"NFT_FIB_RESULT_UNSPEC", "NFT_FIB_RESULT_OIF"}
    destination = 1 << 1
    loaded = _expression("fib", dreg=FIRST, result=kind, flags=destination)
    return [loaded, compare(FIRST, struct.pack("=I", ADDRESS_TYPE_LOCAL))]


def redirect_by(map_name: str, key: Sequence[Expression]) -> list[Expression]:
    """Look the key up; where the map knows it, send the packet to the address and port found there."""
    found = _expression("lookup", set=map_name, sreg=FIRST, dreg=FIRST)
    there = _expression("nat", type=1, family=socket.AF_INET, reg_addr_min=FIRST, reg_proto_min=SECOND)
    return [*key, found, there]


def masquerade() -> Expression:
    """Let the packet go out under the address of the interface by which it leaves."""
    return _expression("masq")


def verdict(code: int, chain: str = "") -> Expression:
    """ACCEPT, DROP, or JUMP to a chain."""
    attrs: Attributes = [("NFTA_VERDICT_CODE", code)]
    if chain:
        attrs.append(("NFTA_VERDICT_CHAIN", chain))
    data = {"attrs": [("NFTA_DATA_VERDICT", {"attrs": attrs})]}
    return _expression("immediate", dreg=VERDICT_REGISTER, data=data)


def counter() -> Expression:
    """Count packets and bytes that get this far."""
    return _expression("counter", packets=0, bytes=0)


# Messages


def _message(kind: int, struct_name: str, attrs: Attributes, text: str, flags: int = 0) -> Message:
    from pyroute2.netlink.nfnetlink import nftsocket  # lazily: see the module's docstring

    packed = getattr(nftsocket, struct_name)()
    packed["nfgen_family"] = socket.AF_INET
    packed["attrs"] = attrs
    packed.encode()
    body = bytes(packed.data[16:])
    return Message(NFNL_SUBSYS_NFTABLES << 8 | kind, NLM_F_ACK | flags, body, text)


def new_table(table: str) -> Message:
    """Make a table; no error when it is there."""
    attrs: Attributes = [("NFTA_TABLE_NAME", table), ("NFTA_TABLE_FLAGS", 0)]
    return _message(NFT_MSG_NEWTABLE, "nft_table_msg", attrs, f"add table ip {table}", NLM_F_CREATE)


def delete_table(table: str) -> Message:
    """Remove a table with all that is in it."""
    attrs: Attributes = [("NFTA_TABLE_NAME", table)]
    return _message(NFT_MSG_DELTABLE, "nft_table_msg", attrs, f"delete table ip {table}")


def new_chain(table: str, name: str, kind: str = "", hook: int = 0, priority: int = 0) -> Message:
    """Make a chain; with a kind (`nat`, `filter`) it is hung on a hook of the packet's way."""
    attrs: Attributes = [("NFTA_CHAIN_TABLE", table), ("NFTA_CHAIN_NAME", name)]
    if kind:
        place = {"attrs": [("NFTA_HOOK_HOOKNUM", hook), ("NFTA_HOOK_PRIORITY", priority)]}
        attrs += [("NFTA_CHAIN_HOOK", place), ("NFTA_CHAIN_POLICY", ACCEPT), ("NFTA_CHAIN_TYPE", kind)]
    return _message(NFT_MSG_NEWCHAIN, "nft_chain_msg", attrs, f"add chain ip {table} {name}", NLM_F_CREATE)


def new_rule(table: str, chain: str, comment: str, expressions: Iterable[Expression]) -> Message:
    """Add a rule at the end of a chain. The comment is what `nft list ruleset` shows beside it."""
    attrs: Attributes = [
        ("NFTA_RULE_TABLE", table),
        ("NFTA_RULE_CHAIN", chain),
        ("NFTA_RULE_EXPRESSIONS", list(expressions)),
        ("NFTA_RULE_USERDATA", comment),
    ]
    text = f"add rule ip {table} {chain} comment {comment!r}"
    return _message(NFT_MSG_NEWRULE, "nft_rule_msg", attrs, text, NLM_F_CREATE | NLM_F_APPEND)


def new_map(table: str, name: str, key: Sequence[int], data: Sequence[int], number: int) -> Message:
    """Make a map; key and data are made of parts (TYPE_…), each padded to four bytes. `number` is any."""
    attrs: Attributes = [
        ("NFTA_SET_TABLE", table),
        ("NFTA_SET_NAME", name),
        ("NFTA_SET_FLAGS", {"NFT_SET_MAP"}),
        ("NFTA_SET_KEY_TYPE", _joined(key)),
        ("NFTA_SET_KEY_LEN", 4 * len(key)),
        ("NFTA_SET_DATA_TYPE", _joined(data)),
        ("NFTA_SET_DATA_LEN", 4 * len(data)),
        ("NFTA_SET_ID", number),
    ]
    return _message(NFT_MSG_NEWSET, "nft_set_msg", attrs, f"add map ip {table} {name}", NLM_F_CREATE)


def _joined(parts: Sequence[int]) -> int:
    """How nft numbers the type of a concatenation: six bits for each part."""
    number = 0
    for part in parts:
        number = number << 6 | part
    return number


def add_elements(table: str, name: str, elements: Mapping[bytes, bytes]) -> Message:
    """Enter key -> value into a map. The kernel refuses a key that has another value: EEXIST."""
    found = [
        {"attrs": [("NFTA_SET_ELEM_KEY", _value(key)), ("NFTA_SET_ELEM_DATA", _value(value))]}
        for key, value in elements.items()
    ]
    return _elements(NFT_MSG_NEWSETELEM, table, name, found, "add", NLM_F_CREATE)


def delete_elements(table: str, name: str, keys: Iterable[bytes]) -> Message:
    """Take keys out of a map. The kernel refuses one that is not there: ENOENT."""
    found = [{"attrs": [("NFTA_SET_ELEM_KEY", _value(key))]} for key in keys]
    return _elements(NFT_MSG_DELSETELEM, table, name, found, "delete", 0)


def _elements(kind: int, table: str, name: str, found: list[Any], verb: str, flags: int) -> Message:
    attrs: Attributes = [
        ("NFTA_SET_ELEM_LIST_TABLE", table),
        ("NFTA_SET_ELEM_LIST_SET", name),
        ("NFTA_SET_ELEM_LIST_ELEMENTS", found),
    ]
    text = f"{verb} element ip {table} {name}"
    return _message(kind, "nft_set_elem_list_msg", attrs, text, flags)


def commit(messages: Iterable[Message]) -> None:
    """Send a batch: all of it becomes true at once, or OSError is raised and nothing has changed."""
    nobody = struct.pack(">BBH", 0, 0, NFNL_SUBSYS_NFTABLES)
    begin = Message(NFNL_MSG_BATCH_BEGIN, 0, nobody, "begin")
    end = Message(NFNL_MSG_BATCH_END, 0, nobody, "commit")
    with Netlink(NETLINK_NETFILTER) as channel:
        channel.send([begin, *messages, end])
