"""Who shares which namespace, as blocks to draw.

Two processes are in the same namespace when `/proc/PID/ns/KIND` names the same inode: namespaces(7). The
host is the first row, then the containers. For each kind, neighbouring rows with the same inode become one
block:

    host    the host's own            open    a container without its own: the host's shows through
    own     one container's own       share   one of several containers
    none    the container does not run and is in no namespace
"""

from __future__ import annotations

from itertools import groupby
from typing import Any

KINDS = ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time")
Row = dict[str, Any]
Block = dict[str, Any]


def arrange(rows: list[Row]) -> list[Block]:
    """The blocks of all kinds: `kind`, first `row`, `span` in rows, `shape`, `containers`, `content`,
    `inode`.
    """
    return [block for kind in KINDS for block in _column(kind, rows)]


def _column(kind: str, rows: list[Row]) -> list[Block]:
    inodes = [row["namespaces"].get(kind, {}).get("inode") for row in rows]
    blocks = []
    # a row without an inode is nobody's neighbour
    for _, group in groupby(range(len(rows)), key=lambda i: inodes[i] or -1 - i):
        members = list(group)
        first = members[0]
        blocks.append(
            {
                "kind": kind,
                "row": first,
                "span": len(members),
                "shape": _shape(members, inodes),
                "containers": [rows[i]["name"] for i in members if i > 0],
                "inode": inodes[first],
                "content": rows[first]["namespaces"].get(kind, {}).get("content"),
            }
        )
    return blocks


def _shape(members: list[int], inodes: list[int | None]) -> str:
    inode = inodes[members[0]]
    if inode is None:
        return "none"
    if members == [0]:
        return "host"
    if inode == inodes[0]:
        return "open"
    return "share" if inodes.count(inode) > 1 else "own"
