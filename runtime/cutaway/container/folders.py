"""A container's folder on disk: where overlayfs writes, what is bound over /etc, its log and its last words.

    upper/ work/ merged/    overlayfs: changes, scratch, mount point
    hosts hostname resolv.conf
    json.log  exit.json  trace.json

Making one is a handful of mkdir; removing one that a database filled may take seconds. So a folder is removed
by renaming it away, which is done at once or not at all, and deleting it afterwards in a thread.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from pathlib import Path
from typing import Any

from cutaway.container.records import Record
from cutaway.errors import CutawayError, NotPermittedError
from cutaway.network import resolv
from cutaway.settings import Settings

_TASKS: set[asyncio.Future[Any]] = set()


def make(folder: Path) -> None:
    """The empty folder of a new container."""
    for path, mode in (
        (folder, 0o710),
        (folder / "upper", 0o755),
        (folder / "work", 0o700),
        (folder / "merged", 0o700),
    ):
        path.mkdir(mode)


def refusal(error: OSError, folder: Path) -> CutawayError:
    """What to tell when the folder cannot be written."""
    reason = (error.strerror or str(error)).lower()
    return NotPermittedError(
        f"cannot write {error.filename or folder}: {reason}",
        "is the engine's root folder writable, and is there room on the disk?",
    )


def write_files(record: Record, folder: Path) -> None:
    """What the container reads as /etc/hosts, /etc/hostname and /etc/resolv.conf; anew at each start."""
    host, on_host = record.host, record.network == "host"
    address = record.endpoint.address if record.endpoint else None
    hosts = resolv.host_hosts() if on_host else ""
    if not on_host or host.extra_hosts:
        extra = [_with_gateway(entry, record) for entry in host.extra_hosts]
        hosts += resolv.hosts(address, record.hostname, record.config.domainname, extra)
    texts = {
        "hosts": hosts,
        "hostname": resolv.hostname_file(record.hostname),
        "resolv.conf": _resolv_conf(record, on_host=on_host),
    }
    for name, text in texts.items():
        file = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            os.fchmod(file, 0o644)  # whatever the umask says: every user inside may read them
            os.write(file, text.encode())
        finally:
            os.close(file)


def read_exit(folder: Path) -> dict[str, Any] | None:
    """What the keeper wrote when the container ended: code, oom, finished."""
    return _read_json(folder / "exit.json")


def read_trace(folder: Path) -> dict[str, Any] | None:
    """How the last start went, step by step."""
    return _read_json(folder / "trace.json")


def clear_exit(folder: Path) -> None:
    """Before a start: an old exit code must not be taken for the new one."""
    (folder / "exit.json").unlink(missing_ok=True)


def discard(path: Path, settings: Settings) -> None:
    """Away at once, deleted later. Nothing there is fine."""
    gone = settings.tmp / f"gone-{path.name}-{os.urandom(4).hex()}"
    try:
        path.rename(gone)
    except FileNotFoundError:
        return
    task = asyncio.get_running_loop().run_in_executor(None, lambda: shutil.rmtree(gone, ignore_errors=True))
    _TASKS.add(task)
    task.add_done_callback(_TASKS.discard)


async def discarded() -> None:
    """Wait until all that was discarded is deleted."""
    while _TASKS:
        await asyncio.wait(tuple(_TASKS))


def _with_gateway(entry: str, record: Record) -> str:
    """`name:host-gateway` is the host, as seen from the container's network."""
    name, _, address = entry.partition(":")
    if address != "host-gateway":
        return entry
    return f"{name}:{record.endpoint.gateway if record.endpoint else '127.0.0.1'}"


def _resolv_conf(record: Record, *, on_host: bool) -> str:
    host = record.host
    if not (host.dns or host.dns_search or host.dns_options):
        return resolv.host_resolv_conf() if on_host else resolv.resolv_conf()
    lines = [
        line
        for line in resolv.resolv_conf().splitlines()
        if not host.dns or not line.startswith("nameserver")
    ]
    own = [f"nameserver {server}" for server in host.dns]
    own += [f"search {' '.join(host.dns_search)}"] if host.dns_search else []
    own += [f"options {' '.join(host.dns_options)}"] if host.dns_options else []
    return "\n".join([*own, *lines]) + "\n"


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        data: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return data
