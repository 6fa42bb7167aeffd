"""Steps that only make sense in a child of the keeper: the terminal, the ends of pipes, waiting, dying
together.

They find what the keeper gave its child in `context.fds`: "beside" (a pipe that is readable when the keeper
has done its part) and "keeper" (a socket to the keeper, over which the terminal's master goes home). Where
there is no keeper, as when a plan is only recorded, they have nothing to do.
"""

# ruff: noqa: D102 - describe() and execute() are documented once, on Step
from __future__ import annotations

import fcntl
import os
import signal
import socket
import struct
import termios
from dataclasses import dataclass

from cutaway.linux.step import Context, Step

BESIDE, KEEPER = "beside", "keeper"
MASTER, SLAVE = "console master", "console"  # the names that linux.devices.OpenConsole uses


@dataclass(frozen=True, slots=True)
class AwaitKeeper(Step):
    """Go on when the keeper has done the steps beside this process. End quietly when the keeper gave up."""

    def describe(self) -> str:
        return "wait until the keeper has finished its side"

    def execute(self, context: Context) -> None:
        pipe = context.fds.pop(BESIDE, -1)
        if pipe >= 0 and not os.read(pipe, 1):
            os._exit(125)


@dataclass(frozen=True, slots=True)
class DieWithKeeper(Step):
    """Get SIGKILL when the keeper ends: nobody would read the output or learn the exit code.

    A change of user clears it, so it comes after `SetUser`. prctl(2), PR_SET_PDEATHSIG.
    """

    def describe(self) -> str:
        return "be killed when the keeper ends"

    def execute(self, context: Context) -> None:
        context.kernel.set_parent_death_signal(signal.SIGKILL)


@dataclass(frozen=True, slots=True)
class OpenTerminal(Step):
    """Open one more terminal in the devpts of the container that was joined, for an exec with a terminal."""

    def describe(self) -> str:
        return "open a terminal in the container's /dev/pts"

    def execute(self, context: Context) -> None:
        kernel = context.kernel
        master = kernel.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY)
        slave = kernel.unlock_terminal(master)
        context.fds[MASTER] = master
        context.fds[SLAVE] = kernel.open(slave, os.O_RDWR | os.O_NOCTTY)


@dataclass(frozen=True, slots=True)
class UseTerminal(Step):
    """Make the terminal that was opened input, output, error and the controlling terminal; send its master
    home.

    `rows` or `columns` of 0 leave the size alone. `uid` becomes its owner, so that the user may open it by
    name.
    """

    rows: int = 0
    columns: int = 0
    uid: int = 0

    def describe(self) -> str:
        return "use the terminal for input and output and hand its other end to the keeper"

    def execute(self, context: Context) -> None:
        keeper = context.fds.pop(KEEPER, -1)
        if keeper < 0:
            return
        slave, master = context.fds.pop(SLAVE), context.fds.pop(MASTER)
        if self.rows and self.columns:
            fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", self.rows, self.columns, 0, 0))
        if self.uid:
            os.fchown(slave, self.uid, -1)
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        for number in (0, 1, 2):
            context.kernel.dup2(slave, number)
        with socket.socket(fileno=keeper) as line:
            socket.send_fds(line, [b"terminal"], [master])
        context.kernel.close(master)
        context.kernel.close(slave)


@dataclass(frozen=True, slots=True)
class GiveStdio(Step):
    """Make the user the owner of the pipes, so that the program may open /dev/stdout by name."""

    uid: int
    gid: int

    def describe(self) -> str:
        return f"give the pipes of input and output to user {self.uid}"

    def execute(self, context: Context) -> None:
        if KEEPER not in context.fds:
            return
        for number in (0, 1, 2):
            if _is_pipe(number):
                os.fchown(number, self.uid, self.gid)


def _is_pipe(fd: int) -> bool:
    return (os.fstat(fd).st_mode & 0o170000) == 0o010000
