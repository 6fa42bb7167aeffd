"""A container's file system, as the container sees it, for those who copy in and out.

It is put together in a thread with private mounts: the root, and upon it the volumes. The root of a running
container is a copy of its own mount, so both see the same files; that of one which does not run is mounted
from its layers, and meanwhile nobody may start it. What the container mounted besides is not seen: /proc,
/sys, /dev and its tmpfs, as with Docker.

The tree belongs to a stranger, and in a running container he is at work in it. So it is never walked by path:
the work gets a `RootFiles`, with which the kernel itself keeps every step below the root. Nothing
but regular files and folders is ever opened.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from cutaway.container.filetree import FILES, overlay_step
from cutaway.container.records import Record
from cutaway.container.shelf import Kept
from cutaway.errors import ConflictError
from cutaway.layer.layers import Layers
from cutaway.linux.constants import (
    AT_EMPTY_PATH,
    AT_FDCWD,
    AT_RECURSIVE,
    CLONE_NEWNS,
    MOUNT_ATTR_RDONLY,
    MOVE_MOUNT_F_EMPTY_PATH,
    MOVE_MOUNT_T_EMPTY_PATH,
    OPEN_TREE_CLOEXEC,
    OPEN_TREE_CLONE,
)
from cutaway.linux.files import RootFiles
from cutaway.linux.kernel import Kernel
from cutaway.linux.private_mounts import in_private_mounts
from cutaway.linux.procfs import start_time
from cutaway.linux.step import Context
from cutaway.settings import Settings

T = TypeVar("T")


class RootView:
    """Opens the file systems of one engine's containers."""

    def __init__(self, settings: Settings, layers: Layers) -> None:
        self._settings, self._layers = settings, layers

    async def within(self, kept: Kept, work: Callable[[RootFiles], T], *, volumes: bool = True) -> T:
        """Do `work`, which may block, with the container's root. Without `volumes` only its own layers."""
        async with contextlib.AsyncExitStack() as stack:
            if not kept.record.state.running:
                await stack.enter_async_context(kept.lock)
            if kept.removing:
                raise ConflictError(f"container {kept.record.id} is being removed")

            def body() -> T:
                with RootFiles(self._mount(kept.record)) as files:
                    if volumes:
                        self._mount_volumes(files, kept.record)
                    return work(files)

            return await in_private_mounts(body, threading.Event())

    def _mount(self, record: Record) -> Path:
        merged = self._settings.container(record.id) / "merged"
        if record.state.running:
            tree = _root_of(record)
            try:
                flags = MOVE_MOUNT_F_EMPTY_PATH
                Kernel().move_mount(tree, "", AT_FDCWD, str(merged), flags)
            finally:
                os.close(tree)
        else:
            lowers = tuple(self._layers.lower(layer) for layer in reversed(record.layers))
            overlay_step(record, self._settings, lowers).execute(Context(Kernel()))
        return merged

    def _mount_volumes(self, files: RootFiles, record: Record) -> None:
        folder = self._settings.container(record.id)
        for name in FILES:
            _attach(files, folder / name, f"/etc/{name}", read_only=False)
        for mount in record.mounts:
            if mount.type != "tmpfs":
                _attach(files, Path(mount.source), mount.destination, read_only=mount.read_only)


def _root_of(record: Record) -> int:
    """A detached copy of the mount of a running container's root, without those upon it.

    In a thread with private mounts only. Raises ConflictError when the container has just ended.
    """
    kernel = Kernel()
    home = os.open("/proc/thread-self/ns/mnt", os.O_RDONLY)
    try:
        there = os.open(f"/proc/{record.state.pid}/ns/mnt", os.O_RDONLY)
    except FileNotFoundError:
        there = -1
    try:
        if there < 0 or start_time(record.state.pid) != record.state.start_time:
            raise ConflictError(f"container {record.id} is not running", "it has just ended: try again")
        kernel.setns(there, CLONE_NEWNS)
        try:
            return kernel.open_tree(AT_FDCWD, "/", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)
        finally:
            kernel.setns(home, CLONE_NEWNS)
    finally:
        os.close(home)
        if there >= 0:
            os.close(there)


def _attach(files: RootFiles, source: Path, destination: str, *, read_only: bool) -> None:
    """Bind a volume in a mounted tree; one whose source is gone is left out."""
    kernel = Kernel()
    try:
        flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE
        tree = kernel.open_tree(AT_FDCWD, str(source), flags)
    except FileNotFoundError:
        return
    try:
        if read_only:
            kernel.mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, MOUNT_ATTR_RDONLY)
        try:
            target = files.open(destination, os.O_PATH)
        except FileNotFoundError:
            if kernel.is_directory(tree):
                files.makedirs(destination)
            else:
                files.makedirs(destination.rpartition("/")[0])
                os.close(files.create(destination, 0o755))
            target = files.open(destination, os.O_PATH)
        try:
            kernel.move_mount(tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH)
        finally:
            os.close(target)
    finally:
        os.close(tree)
