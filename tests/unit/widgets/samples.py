"""Answers of the engine as the views get them."""

from __future__ import annotations

from typing import Any

INODE = 4026531834
KINDS = ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time")


def layer(
    number: int, size: int, added: int, changed: int = 0, deleted: int = 0, **more: Any
) -> dict[str, Any]:
    return {
        "number": number,
        "diff_id": f"sha256:{number:064x}",
        "directory": f"layers/{number:016x}/diff",
        "size": size,
        "hidden": 0,
        "added": added,
        "changed": changed,
        "deleted": deleted,
        **more,
    }


def layers() -> dict[str, Any]:
    big = "dd if=/dev/zero of=/srv/big bs=1000 count=900 && echo '<b>hello</b>' > /etc/motd"
    busybox = layer(1, 2_013_440, 413, hidden=12_000)
    lines = [
        ("COPY busybox and links / # from the package busybox-static", busybox),
        ('CMD ["sh"]', None),
        ("WORKDIR /srv", layer(2, 0, 1)),
        (f"/bin/sh -c {big}", layer(3, 900_014, 2, 1, hidden=900_000)),
        ("COPY app /srv/app", layer(4, 48_213, 12)),
        ("/bin/sh -c rm /srv/big", layer(5, 0, 0, 0, 1)),
        ('/bin/sh -c #(nop)  CMD ["/srv/app/run"]', None),
    ]
    return {
        "told": "all",
        "image": {"id": "sha256:02ac71" + "0" * 58, "name": "lab/first:latest", "size": 2_961_667},
        "container": {"id": "4c1f9a72e0b3" + "0" * 52, "name": "web", "state": "running"},
        "writable": {
            "size": 212_001,
            "added": 3,
            "changed": 1,
            "deleted": 1,
            "hidden": 0,
            "directory": "containers/4c1f9a72e0b3…/upper",
        },
        "lines": [
            {
                "created_by": text,
                "created": "2026-01-02T03:04:05Z",
                "from": "busybox:latest" if index < 2 else None,
                "layer": found,
            }
            for index, (text, found) in enumerate(lines)
        ],
    }


def entry(name: str, kind: str, mark: str, size: int, count: int = 1, **more: Any) -> dict[str, Any]:
    told = {"name": name, "kind": kind, "mark": mark, "size": size, "count": count}
    return {**told, "hidden_by": None, "hides": 0, "hides_in": None, **more}


def files() -> dict[str, Any]:
    long_name = "pkgcache-with-a-very-long-name-that-has-to-be-cut-somewhere.bin"
    return {
        "entries": [
            entry("etc", "directory", "C", 14_000, 3),
            entry("srv", "directory", "A", 43_100_000, 2871),
            entry("big", "file", "A", 900_000, hidden_by=5),
            entry("motd", "file", "C", 14, hides=390_000, hides_in=1),
            entry(long_name, "file", "D", 0, hides=1, hides_in=1),
        ],
        "more": 0,
    }


def row(name: str, base: int | None, *, shared: dict[str, int] | None = None) -> dict[str, Any]:
    contents: dict[str, dict[str, Any]] = {
        "user": {"word": "identity"},
        "mnt": {"word": "layers", "n": 3},
        "pid": {"word": "processes", "n": 2},
        "net": {"text": "eth0 172.17.0.2"},
        "ipc": {"word": "no segments"},
        "uts": {"text": name},
        "cgroup": {"text": "…/4c1f9a72"},
        "time": {"word": "same clock"},
    }
    inodes = {}
    if base is not None:
        inodes = {kind: base + i for i, kind in enumerate(KINDS)} | {"user": INODE, "time": INODE + 7}
    inodes |= shared or {}
    return {
        "noun": "container",
        "name": name,
        "id": "4c1f9a72e0b3" + "0" * 52,
        "state": "running" if base else "exited",
        "namespaces": {kind: {"inode": inode, "content": contents[kind]} for kind, inode in inodes.items()},
    }


def host() -> dict[str, Any]:
    contents: dict[str, dict[str, Any]] = {
        "user": {"word": "identity"},
        "mnt": {"text": "ext4 /"},
        "pid": {"word": "processes", "n": 214},
        "net": {"text": "eth0, cutaway0"},
        "ipc": {"word": "segments", "n": 3},
        "uts": {"text": "lab-07"},
        "cgroup": {"text": "/"},
        "time": {"word": "same clock"},
    }
    return {
        "noun": "host",
        "name": "lab-07",
        "id": "",
        "state": "running",
        "namespaces": {kind: {"inode": INODE + i, "content": contents[kind]} for i, kind in enumerate(KINDS)},
    }


def namespaces() -> dict[str, Any]:
    web = row("web", INODE + 100)
    shared = {kind: INODE + 100 + KINDS.index(kind) for kind in ("pid", "net")}
    debug = row("debug", INODE + 200, shared=shared)
    return {
        "rows": [host(), web, debug, row("ended", None)],
        "processes": [
            {"pid": 1, "inner": None, "command": "systemd", "of": None, "depth": 0},
            {"pid": 21790, "inner": None, "command": "cutaway keeper", "of": None, "depth": 1},
            {"pid": 21874, "inner": 1, "command": "python3 app/app.py", "of": "web", "depth": 0},
            {"pid": 21902, "inner": 7, "command": "python3 worker", "of": "web", "depth": 1},
            {"pid": 22110, "inner": 23, "command": "sh", "of": "debug", "depth": 0},
        ],
        "uid_maps": [
            {
                "container": "web",
                "path": "/proc/21874/uid_map",
                "identity": True,
                "ranges": [[0, 0, 4294967295]],
            },
            {
                "container": "debug",
                "path": "/proc/22110/uid_map",
                "identity": False,
                "ranges": [[0, 1000, 1], [1, 100000, 65535]],
            },
        ],
    }
