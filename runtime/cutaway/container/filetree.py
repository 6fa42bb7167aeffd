"""The steps that give a container its files: layers, /dev, /proc, /sys, volumes, and what is hidden.

The order is explained in `linux.mounts`: what comes from the host is taken before the root is changed,
and put in its place after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cutaway.container.records import Record
from cutaway.container.security import read_security
from cutaway.container.sharing import Shared, network_donor
from cutaway.linux import mounts
from cutaway.linux.devices import MakeDevices, MakeNodes, Node, OpenConsole
from cutaway.linux.overlay import MountOverlay
from cutaway.linux.step import Step
from cutaway.settings import Settings

SHM_BYTES = 64 * 1024 * 1024
FILES = ("resolv.conf", "hostname", "hosts")
INIT = "/sbin/docker-init"
"""Where `--init` shows the init; Docker's place."""
_SHM = "/dev/shm"


def open_binds(record: Record, settings: Settings, shared: Shared, init: str) -> Iterator[Step]:
    """Take from the host what will be bound. `init` is the init's program, "" for none."""
    folder = settings.container(network_donor(record) or record.id)
    for name in FILES:
        yield mounts.OpenTree(str(folder / name), name, recursive=False)
    if init:
        yield mounts.OpenTree(init, INIT, recursive=False)
    if record.host.ipc_mode == "host":
        yield mounts.OpenTree(_SHM, _SHM)
    elif shared.ipc:
        yield mounts.TakeTree(shared.ipc, _SHM, _SHM)
    for mount in record.mounts:
        if mount.type != "tmpfs":
            yield mounts.OpenTree(mount.source, mount.source, recursive=mount.recursive)


def overlay_step(record: Record, settings: Settings, lowers: tuple[str, ...]) -> MountOverlay:
    """The mount of a container's layers under its writable one."""
    folder = settings.container(record.id)
    relative = f"../{folder.relative_to(settings.root)}"  # the layers' root is a neighbour: short names
    return MountOverlay(
        str(settings.layers), lowers, f"{relative}/upper", f"{relative}/work", str(folder / "merged")
    )


def file_tree(
    record: Record,
    merged: Path,
    *,
    nodes: tuple[Node, ...],
    cgroup_trees: tuple[str, ...],
    shared: Shared,
    init: str,
) -> Iterator[Step]:
    """Enter the root and put everything in its place."""
    host = record.host
    writable_cgroups = host.privileged or read_security(host.security_opt).writable_cgroups
    yield mounts.EnterRoot(str(merged))
    yield mounts.MountProc()
    yield mounts.MountTmpfs("/dev", "nosuid,strictatime,mode=755,size=65536k")
    yield MakeDevices()
    if nodes:
        yield MakeNodes(nodes)
    yield mounts.MountDevpts()
    yield from _memory(record, shared)
    yield mounts.MountSys(read_only=not host.privileged)
    yield mounts.MountCgroup(cgroup_trees, read_only=not writable_cgroups)
    for name in FILES:
        yield mounts.AttachTree(name, f"/etc/{name}")
    if init:
        yield mounts.AttachTree(INIT, INIT, read_only=True)
    for mount in record.mounts:
        if mount.type == "tmpfs":
            yield mounts.MountTmpfs(mount.destination, mount.options)
        else:
            yield mounts.AttachTree(mount.source, mount.destination, mount.read_only, mount.propagation)
    if record.config.tty:
        yield OpenConsole()


def protect(record: Record) -> Iterator[Step]:
    """Hide and close what would let the container reach past itself."""
    host = record.host
    if not host.privileged:
        masked = mounts.MASKED_PATHS if host.masked_paths is None else tuple(host.masked_paths)
        readonly = mounts.READONLY_PATHS if host.readonly_paths is None else tuple(host.readonly_paths)
        if masked:
            yield mounts.MaskPaths(masked)
        if readonly:
            yield mounts.ReadonlyPaths(readonly)
    yield mounts.LeaveOldRoot()
    if host.readonly_rootfs:
        yield mounts.RemountRootReadonly()


def _memory(record: Record, shared: Shared) -> Iterator[Step]:
    """Message queues and shared memory: both belong to the IPC namespace, so to whoever shares it."""
    host = record.host
    yield mounts.MountMqueue()
    if host.ipc_mode == "host" or shared.ipc:
        yield mounts.AttachTree(_SHM, _SHM)
    elif host.ipc_mode != "none" and not any(mount.destination == _SHM for mount in record.mounts):
        size = host.shm_size or SHM_BYTES
        yield mounts.MountTmpfs(_SHM, f"nosuid,nodev,noexec,mode=1777,size={size}", "shm")
