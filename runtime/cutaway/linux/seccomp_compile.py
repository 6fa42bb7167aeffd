"""From the table of allowed system calls to the program that the kernel runs.

libseccomp does the translation: system call names to this machine's numbers, arguments to comparisons, all of
it to a binary search in classic BPF. It takes some ten milliseconds, so the result is kept in a file named by
a hash of everything that went in. Only the engine imports this; the child that becomes a container is handed
bytes.

One thing libseccomp cannot say is "any number above N". Two instructions in front of its program do.
"""

from __future__ import annotations

import errno
import hashlib
import os
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from cutaway.errors import NotPermittedError
from cutaway.linux.capabilities import DEFAULT, NUMBERS, capability_name
from cutaway.linux.seccomp_profile import (
    AF_VSOCK,
    ALWAYS,
    BY_CAPABILITY,
    NEW_NAMESPACES,
    PERSONALITIES,
)

_VERSION = 1  # raise it when the compiler below changes what it makes of the same table
_LOAD, _JUMP_GREATER, _RETURN = 0x20, 0x25, 0x06
_ERRNO = 0x00050000


def default_program(capabilities: tuple[str, ...] = DEFAULT, cache: Path | None = None) -> bytes:
    """The default filter for a container with these capabilities, as BPF: 8 bytes an instruction.

    Kept in and taken from the directory `cache` if given. NotPermittedError when libseccomp is not installed.
    """
    names = tuple(sorted({capability_name(name) for name in capabilities}, key=NUMBERS.__getitem__))
    told = repr((_VERSION, os.uname().machine, names, ALWAYS, sorted(BY_CAPABILITY.items()), PERSONALITIES))
    return kept(told, lambda: _compile(libseccomp(), names), cache)


def kept(told: str, make: Callable[[], bytes], cache: Path | None) -> bytes:
    """What `make` returns, from a file of `cache` when it was made before. `told` is all that goes in."""
    path = cache / f"seccomp-{hashlib.sha256(told.encode()).hexdigest()[:16]}.bpf" if cache else None
    if path:
        try:
            if (program := path.read_bytes()) and len(program) % 8 == 0:
                return program
        except OSError:
            pass
    program = make()
    if path:
        _keep(path, program)
    return program


def libseccomp() -> ModuleType:
    """The library. Raises NotPermittedError when it is not installed."""
    try:
        import pyseccomp
    except (ImportError, RuntimeError, OSError) as error:
        hint = "install the package libseccomp2, or run with --security-opt seccomp=unconfined"
        raise NotPermittedError("cannot make the system call filter: libseccomp is missing", hint) from error
    return pyseccomp  # type: ignore[no-any-return]


def _compile(seccomp: ModuleType, capabilities: tuple[str, ...]) -> bytes:
    filter_ = seccomp.SyscallFilter(seccomp.ERRNO(errno.EPERM))
    filter_.set_attr(seccomp.Attr.CTL_OPTIMIZE, 2)  # a binary search instead of hundreds of comparisons
    names = set(ALWAYS)
    for capability in capabilities:
        names.update(BY_CAPABILITY.get(capability, ()))
    newest = 0
    for name in sorted(names):
        number = seccomp.resolve_syscall(seccomp.Arch.NATIVE, name)
        if number >= 0:  # else unknown to this architecture or this libseccomp
            filter_.add_rule(seccomp.ALLOW, name)
            newest = max(newest, number)
    equal, masked, differs = seccomp.EQ, seccomp.MASKED_EQ, seccomp.NE
    if "clone" not in names:
        filter_.add_rule(seccomp.ALLOW, "clone", seccomp.Arg(0, masked, NEW_NAMESPACES, 0))
        filter_.add_rule(seccomp.ERRNO(errno.ENOSYS), "clone3")  # its flags lie in memory, out of our sight
    for value in PERSONALITIES:
        filter_.add_rule(seccomp.ALLOW, "personality", seccomp.Arg(0, equal, value))
    filter_.add_rule(seccomp.ALLOW, "socket", seccomp.Arg(0, differs, AF_VSOCK))
    return _unknown_above(newest) + export(filter_)


def export(filter_: object) -> bytes:
    """The compiled filter."""
    with tempfile.TemporaryFile() as file:
        filter_.export_bpf(file)  # type: ignore[attr-defined]
        file.seek(0)
        return file.read()


def _unknown_above(newest: int) -> bytes:
    """BPF: load the number at offset 0 of `struct seccomp_data`.

    Above the newest answer ENOSYS, else go on.
    """
    return b"".join(
        struct.pack("=HBBI", code, when_true, when_false, value)
        for code, when_true, when_false, value in (
            (_LOAD, 0, 0, 0),
            (_JUMP_GREATER, 0, 1, newest),
            (_RETURN, 0, 0, _ERRNO | errno.ENOSYS),
        )
    )


def _keep(path: Path, program: bytes) -> None:
    """Write the cache; one that cannot be written is only slower."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(program)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
