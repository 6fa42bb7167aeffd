"""The host and containers, as rows of namespaces, with the processes in them.

"The host" is where the engine lives. A process belongs to the container whose cgroup it is in: one that
`exec` began is a child of the keeper, so its parent would not tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from cutaway.linux import look
from cutaway.linux.look import ALL_IDS, Process

Json = dict[str, Any]
NOT_TOLD = {"word": "no telling"}


def tell(inspected: Iterable[Json]) -> Json:
    """`rows` (the host first), `processes` and `uid_maps`, for containers as `GET /containers/{id}/json` has
    them.
    """
    containers = list(inspected)
    rows = [_host(), *map(_container, containers)]
    members = _members(rows)
    for row in rows[1:]:
        if cell := row["namespaces"].get("pid"):
            inside = [p for p, _ in members if p.pid_namespace == cell["inode"]]
            cell["content"] = {"word": "processes", "n": len(inside)}
    hosts = _ancestors(rows)
    return {
        "rows": rows,
        "processes": [
            *(_line(process, None, depth) for depth, process in enumerate(hosts)),
            *(line for row in rows[1:] for line in _tree(row, [p for p, owner in members if owner is row])),
        ],
        "uid_maps": [_uid_map(row) for row in rows[1:] if row["namespaces"]],
    }


def _host() -> Json:
    names = [name for name in look.interfaces() if name != "lo"]
    kind, _ = look.root_file_system()
    contents: Json = {
        "mnt": {"text": f"{kind} /"},
        "pid": {"word": "processes", "n": sum(1 for _ in look.process_numbers())},
        "net": {"text": ", ".join(names[:2]) + (", …" if len(names) > 2 else "")},
        "uts": {"text": look.host_name()},
        "cgroup": {"text": "/"},
        "time": {"word": "same clock"},
    }
    own = {"noun": "host", "name": look.host_name(), "id": "", "state": "running", "pid": "self"}
    return own | {"namespaces": _cells("self", None, contents)}


def _container(inspected: Json) -> Json:
    state = inspected["State"]
    row: Json = {
        "noun": "container",
        "name": inspected["Name"].lstrip("/"),
        "id": inspected["Id"],
        "state": state["Status"],
        "pid": state["Pid"],
        "namespaces": {},
    }
    if state["Pid"]:
        try:
            row["namespaces"] = _cells(state["Pid"], state["Pid"], _contents(state["Pid"], inspected))
        except (FileNotFoundError, ProcessLookupError):
            pass  # it ended just now: a row without namespaces
    return row


def _contents(pid: int, inspected: Json) -> Json:
    kind, layers = look.root_file_system(pid)
    names = [name for name in look.interfaces(pid) if name != "lo"]
    address = inspected.get("NetworkSettings", {}).get("IPAddress", "")
    own_cgroup = look.cgroup(pid).rpartition("/")[2]
    return {
        "mnt": {"word": "layers", "n": layers} if layers else {"text": f"{kind} /"},
        "pid": {"word": "processes", "n": 1},
        "net": {"text": f"{', '.join(names[:2])} {address}".strip()} if names else {"word": "only lo"},
        "uts": _asked(lambda: {"text": look.host_name(pid)}),
        "cgroup": {"text": f"…/{own_cgroup[:8]}" if own_cgroup else "/"},
        "time": {"text": str(moved)} if (moved := _clock(pid)) else {"word": "same clock"},
    }


def _cells(pid: int | str, visited: int | None, contents: Json) -> Json:
    cells = {
        kind: {"inode": inode, "content": contents.get(kind)} for kind, inode in look.namespaces(pid).items()
    }
    cells["user"]["content"] = _mapping(look.uid_map(pid))
    cells["ipc"]["content"] = _asked(lambda: _segments(look.shared_memory_segments(visited)))
    return cells


def _asked(ask: Callable[[], Json]) -> Json:
    try:
        return ask()
    except OSError:  # the right to join that namespace is missing, or its process is gone
        return NOT_TOLD


def _segments(count: int) -> Json:
    return {"word": "segments", "n": count} if count else {"word": "no segments"}


def _mapping(ranges: list[look.IdRange]) -> Json:
    if ranges in ([ALL_IDS], []):
        return {"word": "identity"}
    return {"word": "mapped", "outside": str(ranges[0][1])}


def _clock(pid: int) -> str:
    offsets = look.clock_offsets(pid)
    moved = offsets.get("boottime", 0.0) or offsets.get("monotonic", 0.0)
    return f"{moved:+.0f} s" if moved else ""


def _members(rows: list[Json]) -> list[tuple[Process, Json]]:
    """Each process of a container, with the container's row."""
    host = rows[0]["namespaces"]["pid"]["inode"]
    containers = [row for row in rows[1:] if row["namespaces"]]
    inodes = {row["namespaces"]["pid"]["inode"] for row in containers}
    found = look.processes(lambda pid, inode: inode in inodes)
    owned = ((process, _owner(process, containers, host)) for process in found)
    return [(process, owner) for process, owner in owned if owner]


def _owner(process: Process, containers: list[Json], host: int) -> Json | None:
    for row in containers:
        if row["id"] in process.cgroup or row["pid"] == process.pid:
            return row
    if process.pid_namespace == host:
        return None
    # no cgroup to go by: the first container that has this pid namespace
    return next(row for row in containers if row["namespaces"]["pid"]["inode"] == process.pid_namespace)


def _ancestors(rows: list[Json]) -> list[Process]:
    """The host's first process, and the one that is the parent of the first container that runs."""
    pid = next((row["pid"] for row in rows[1:] if row["namespaces"]), 0)
    found: list[Process] = []
    try:
        parent = look.process(pid).parent if pid else 0
        while parent:
            found.append(look.process(parent))
            parent = found[-1].parent
    except (FileNotFoundError, ProcessLookupError):
        pass
    return [found[-1], *found[:1]] if len(found) > 1 else found


def _tree(row: Json, members: list[Process]) -> Iterator[Json]:
    """A container's processes, children below their parents."""
    pids = {process.pid for process in members}

    def below(parent: Process | None, depth: int) -> Iterator[Json]:
        for process in sorted(members, key=lambda process: process.pid):
            is_top = process.parent not in pids
            if is_top if parent is None else process.parent == parent.pid:
                yield _line(process, row["name"], depth)
                yield from below(process, depth + 1)

    return below(None, 0)


def _line(process: Process, owner: str | None, depth: int) -> Json:
    inner = process.inner if owner else None
    command = process.command if owner else process.name
    return {"pid": process.pid, "inner": inner, "command": command, "of": owner, "depth": depth}


def _uid_map(row: Json) -> Json:
    try:
        ranges = look.uid_map(row["pid"])
    except (FileNotFoundError, ProcessLookupError):
        ranges = []
    return {
        "container": row["name"],
        "path": f"/proc/{row['pid']}/uid_map",
        "identity": ranges in ([ALL_IDS], []),
        "ranges": ranges or [ALL_IDS],
    }
