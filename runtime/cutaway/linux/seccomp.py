"""Seccomp: a filter that stands before every system call of a process, for good.

The filter is a small program in classic BPF. The kernel runs it on the number and the arguments of each call
and does what it answers: let the call through, or fail it with an errno, or kill. It survives `execve` and is
inherited. Anybody may load one after `SetNoNewPrivs`, since it then cannot confuse a set-uid program; else it
takes CAP_SYS_ADMIN.

The program itself is compiled in the engine (`seccomp_compile`), so that the child only hands over bytes.
"""

from __future__ import annotations

import binascii
from dataclasses import dataclass

from cutaway.linux.step import Context, Step


@dataclass(frozen=True, slots=True)
class SetNoNewPrivs(Step):
    """No program started from here on gains rights from a set-uid bit or file capabilities."""

    def describe(self) -> str:
        return "give up gaining rights by set-uid programs"

    def execute(self, context: Context) -> None:
        context.kernel.no_new_privileges()


@dataclass(frozen=True, slots=True)
class LoadSeccomp(Step):
    """Load a filter: BPF instructions of 8 bytes each, in base64.

    After `SetNoNewPrivs`, or before `SetUser` while CAP_SYS_ADMIN is still there.
    """

    program_base64: str

    def describe(self) -> str:
        return f"filter system calls with a program of {len(self._program()) // 8} instructions"

    def execute(self, context: Context) -> None:
        context.kernel.seccomp_load(self._program())

    def _program(self) -> bytes:
        return binascii.a2b_base64(self.program_base64)
