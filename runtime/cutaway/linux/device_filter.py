"""Which devices a container may open, on cgroup version 2.

Version 2 asks a program instead of a list: eBPF, attached to the group, is handed the kind of access, the
type and the two numbers of the device, and answers 1 for yes or 0 for no. We translate the lines of version 1
(`c 1:3 rwm`) into such a program, one comparison after another; the first line that fits says yes, and the
end says no.

`struct bpf_cgroup_dev_ctx` in linux/bpf.h: u32 access_type (access << 16 | type), u32 major, u32 minor.
An instruction is 8 bytes: opcode, two registers, a 16-bit jump or offset, a 32-bit constant.
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cutaway.linux.kernel import Kernel

_TYPES = {"b": 1, "c": 2}
_ACCESS = {"m": 1, "r": 2, "w": 4}
_CONTEXT, _RESULT, _TYPE, _WANTED, _MAJOR, _MINOR = 1, 0, 2, 3, 4, 5
_LOAD_WORD, _COPY, _SET, _AND, _SHIFT_RIGHT = 0x61, 0xBC, 0xB4, 0x54, 0x74
_JUMP_NOT_EQUAL, _JUMP_ANY_BIT, _EXIT = 0x56, 0x46, 0x95  # 32-bit comparisons


def allow_devices(kernel: Kernel, directory: str, lines: tuple[str, ...]) -> None:
    """Attach the program for these lines to a cgroup of version 2.

    OSError where the kernel has no eBPF for us.
    """
    program = kernel.load_device_filter(compile_devices(lines))
    try:
        group = kernel.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            kernel.attach_device_filter(group, program)
        finally:
            kernel.close(group)
    finally:
        kernel.close(program)


def compile_devices(lines: tuple[str, ...]) -> bytes:
    """eBPF for lines such as `c 136:* rwm`: type (a, b or c), major:minor (* is any), access of r, w, m."""
    program = _op(_LOAD_WORD, _TYPE, _CONTEXT, 0)
    program += _op(_COPY, _WANTED, _TYPE) + _op(_SHIFT_RIGHT, _WANTED, constant=16)
    program += _op(_AND, _TYPE, constant=0xFFFF)
    program += _op(_LOAD_WORD, _MAJOR, _CONTEXT, 4) + _op(_LOAD_WORD, _MINOR, _CONTEXT, 8)
    for line in lines:
        program += _rule(*line.split())
    return program + _answer(0)


def _rule(kind: str, numbers: str, access: str) -> bytes:
    major, minor = numbers.split(":")
    tests = [] if kind == "a" else [(_JUMP_NOT_EQUAL, _TYPE, _TYPES[kind])]
    tests += [] if major == "*" else [(_JUMP_NOT_EQUAL, _MAJOR, int(major))]
    tests += [] if minor == "*" else [(_JUMP_NOT_EQUAL, _MINOR, int(minor))]
    refused = 7 & ~sum(_ACCESS[letter] for letter in set(access))
    tests += [(_JUMP_ANY_BIT, _WANTED, refused)] if refused else []
    # a test that fails jumps over the tests that follow and over the answer, two instructions long
    code = b"".join(
        _op(opcode, register, 0, len(tests) - position + 1, value)
        for position, (opcode, register, value) in enumerate(tests)
    )
    return code + _answer(1)


def _answer(value: int) -> bytes:
    return _op(_SET, _RESULT, constant=value) + _op(_EXIT)


def _op(opcode: int, target: int = 0, source: int = 0, offset: int = 0, constant: int = 0) -> bytes:
    return struct.pack("=BBhi", opcode, source << 4 | target, offset, constant)
