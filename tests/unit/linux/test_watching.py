"""/proc and inotify on this very process and on files of the test."""

from __future__ import annotations

import os
import select
import subprocess
from pathlib import Path

from cutaway.linux import constants, procfs
from cutaway.linux.inotify import CHANGES, NAMES, Watcher


def test_this_process_is_described() -> None:
    found = procfs.process(os.getpid())
    assert found is not None
    assert (found.pid, found.ppid, found.uid) == (os.getpid(), os.getppid(), os.getuid())
    assert found.inner_pids[-1] == os.getpid() or len(found.inner_pids) > 1
    assert found.start_time == procfs.start_time(os.getpid())


def test_a_process_that_is_gone_is_none() -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    assert procfs.process(child.pid) is None
    assert procfs.command(child.pid) == ()
    assert procfs.namespaces(child.pid) == {}


def test_children_and_namespaces_are_found() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as child:
        assert child.pid in procfs.children(os.getpid())
        assert procfs.namespaces(child.pid) == procfs.namespaces()
        assert child.pid in procfs.in_same_namespace(os.getpid())


def test_mount_points_with_blanks_are_read() -> None:
    line = "36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 - ext3 /dev/root rw,errors=continue"
    found = procfs.parse_mount(line)
    assert (found.target, found.fstype, found.super_options) == ("/mnt 2", "ext3", "rw,errors=continue")
    assert "/" in [mount.target for mount in procfs.mounts()]


def test_a_written_file_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("")
    with Watcher() as watcher:
        number = watcher.watch(path, CHANGES)
        assert watcher.read() == []
        path.write_text("more")
        select.select([watcher.fd], [], [], 10)
        assert {change.watch for change in watcher.read()} == {number}


def test_a_new_name_in_a_directory_is_noticed(tmp_path: Path) -> None:
    with Watcher() as watcher:
        watcher.watch(tmp_path, NAMES)
        (tmp_path / "new").write_text("")
        (change,) = watcher.read()
        assert change.name == "new"
        assert change.mask & constants.IN_CREATE
