"""The default filter, loaded in a child that then tries what it must not do."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

import pytest

from cutaway.linux.capabilities import DEFAULT
from cutaway.linux.kernel import Kernel
from cutaway.linux.probe import probe
from cutaway.linux.seccomp_compile import default_program

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86_64"),
]

MOUNT, UNSHARE, CLONE, CLONE3, KEYCTL, IO_URING, SOCKET, PERSONALITY, REBOOT, GETPID = (
    *(165, 272, 56, 435, 250, 425, 41, 135, 169, 39),
)


def _errno(program: bytes, number: int, *arguments: int) -> int:
    """0, or the errno of a system call made under the filter."""
    kernel = Kernel()
    pid = kernel.clone(0)
    if pid == 0:
        try:
            kernel.no_new_privileges()
            kernel.seccomp_load(program)
            libc = ctypes.CDLL(None, use_errno=True)
            result = libc.syscall(number, *(ctypes.c_long(argument) for argument in arguments))
            os._exit(ctypes.get_errno() if result < 0 else 0)
        finally:
            os._exit(255)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.fixture(scope="module")
def program() -> bytes:
    return default_program()


@pytest.mark.parametrize(
    ("number", "arguments", "expected"),
    [
        (GETPID, (), 0),
        (SOCKET, (2, 1, 0), 0),
        (SOCKET, (40, 1, 0), errno.EPERM),
        (MOUNT, (0, 0, 0, 0, 0), errno.EPERM),
        (UNSHARE, (0x20000,), errno.EPERM),
        (CLONE, (0x10000000 | 17, 0, 0, 0, 0), errno.EPERM),
        (CLONE3, (0, 0), errno.ENOSYS),
        (KEYCTL, (0, 0, 0), errno.EPERM),
        (IO_URING, (1, 0), errno.EPERM),
        (REBOOT, (0, 0, 0), errno.EPERM),
        (PERSONALITY, (0xFFFFFFFF,), 0),
        (PERSONALITY, (0x0400000,), errno.EPERM),
        (9999, (), errno.ENOSYS),
    ],
)
def test_the_default_filter_answers(
    program: bytes, number: int, arguments: tuple[int, ...], expected: int
) -> None:
    assert _errno(program, number, *arguments) == expected


def test_a_granted_capability_brings_its_calls_back() -> None:
    wider = default_program((*DEFAULT, "SYS_ADMIN"))
    assert _errno(wider, UNSHARE, 0) == 0
    assert _errno(wider, CLONE3, 0, 0) == errno.EINVAL


def test_a_compiled_filter_is_kept(tmp_path: Path) -> None:
    first = default_program(cache=tmp_path)
    (kept,) = tmp_path.iterdir()
    assert kept.read_bytes() == first
    assert default_program(cache=tmp_path) == first


def test_the_probe_names_what_it_tried() -> None:
    findings = {finding.name: finding for finding in probe()}
    assert findings["mnt namespace"].works
    assert findings["overlay file system"].works
    assert all(finding.detail for finding in findings.values())
    assert all(finding.hint for finding in findings.values() if not finding.works)
