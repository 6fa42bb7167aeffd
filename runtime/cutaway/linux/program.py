"""The last two steps: stand in the working directory, and become the program.

`execve` wants a path. A name without a slash is looked for along PATH, the container's own, inside the
container's root. Each refusal has a different cause, and Docker's words for it are what scripts match on; the
exit code is 127 when there is no such program and 126 when it is there but cannot be run.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass

from cutaway.errors import CommandNotExecutableError, CommandNotFoundError, CutawayError
from cutaway.linux.step import Context, Step


@dataclass(frozen=True, slots=True)
class ChangeDirectory(Step):
    """Stand in the working directory, which is made if missing (Docker's rule for WORKDIR and `-w`)."""

    path: str

    def describe(self) -> str:
        return f"change to {self.path}"

    def execute(self, context: Context) -> None:
        try:
            context.kernel.chdir(self.path)
        except FileNotFoundError:
            context.kernel.makedirs(self.path, 0o755)
            context.kernel.chdir(self.path)


@dataclass(frozen=True, slots=True)
class SetOomScore(Step):
    """How readily the kernel kills this process when memory runs out, -1000 never to 1000 first, proc(5)."""

    score: int

    def describe(self) -> str:
        return f"set the out-of-memory score to {self.score}"

    def execute(self, context: Context) -> None:
        context.kernel.write_file("/proc/self/oom_score_adj", str(self.score))


@dataclass(frozen=True, slots=True)
class Exec(Step):
    """Become the program `argv` with exactly the environment `env` (each "NAME=value").

    Raises CommandNotFoundError or CommandNotExecutableError; it never returns otherwise.
    """

    argv: tuple[str, ...]
    env: tuple[str, ...]

    def describe(self) -> str:
        return f"become {' '.join(self.argv)}"

    def execute(self, context: Context) -> None:
        env = dict(variable.partition("=")[::2] for variable in self.env)
        kernel, refused = context.kernel, None
        kernel.umask(0o022)
        kernel.restore_signals()
        for path in _candidates(self.argv[0], env.get("PATH", "")):
            try:
                kernel.execve(path, self.argv, env)
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.ENOTDIR) and not os.path.lexists(path):
                    continue  # not here: the next directory of PATH may have it
                refused = refused or _refusal(self.argv[0], path, error)
        raise refused or _not_found(self.argv[0])


def _candidates(name: str, search_path: str) -> list[str]:
    if "/" in name:
        return [name]
    return (
        [f"{directory or '.'}/{name}" for directory in search_path.split(":")] if name and search_path else []
    )


def _not_found(name: str) -> CutawayError:
    if "/" in name:
        return CommandNotFoundError(
            f'exec: "{name}": stat {name}: no such file or directory', "the image has no such file"
        )
    return CommandNotFoundError(
        f'exec: "{name}": executable file not found in $PATH', "check the spelling, or give the whole path"
    )


def _refusal(name: str, path: str, error: OSError) -> CutawayError:
    if os.path.isdir(path):
        return CommandNotExecutableError(f'exec: "{name}": is a directory', "give a program, not a directory")
    if error.errno == errno.ENOENT:
        return _no_interpreter(name, path)
    if error.errno == errno.ENOEXEC:
        hint = "a script needs a first line such as #!/bin/sh; a program must fit this machine's processor"
        return CommandNotExecutableError(f"exec {path}: exec format error", hint)
    if error.errno == errno.EACCES:
        hint = "the file has no execute permission for this user, or its file system is mounted noexec"
        return CommandNotExecutableError(f'exec: "{name}": permission denied', hint)
    return CommandNotExecutableError(f'exec: "{name}": {(error.strerror or "refused").lower()}')


def _no_interpreter(name: str, path: str) -> CutawayError:
    """The file is there, so what is missing is what runs it: the #! line's program, or the dynamic loader."""
    if os.path.islink(path) and not os.path.exists(path):
        hint = f"it is a symbolic link to {os.readlink(path)}, which is not there"
    else:
        hint = f"the file is there, but not {_interpreter(path)}, which would run it"
    return CommandNotFoundError(f"exec {path}: no such file or directory", hint)


def _interpreter(path: str) -> str:
    try:
        with open(path, "rb") as file:
            first = file.readline(256)
    except OSError:
        return "the program"
    if first.startswith(b"#!"):
        words = first[2:].split()
        return words[0].decode(errors="replace") if words else "the program"
    return "the dynamic loader of its C library"
