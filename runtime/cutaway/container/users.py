"""Who `-u name` is: looked up in the container's own /etc/passwd and /etc/group, without running anything.

The files are read from the writable layer or the topmost layer that has them, as overlayfs would show them.
Each is opened below its layer's folder and cannot lead out of it, whatever links an image holds
(`linux.files.RootFiles`).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cutaway.errors import BadInputError
from cutaway.linux.files import RootFiles

LARGEST_FILE = 4 << 20

Read = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class User:
    """Numbers for the kernel and the home directory for `HOME`."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    home: str = "/"


def find_user(text: str, read: Read, extra_groups: Sequence[str] = ()) -> User:
    """`name`, `uid`, `name:group`, `uid:gid`; empty is root. `read` gives a file of the container, or "".

    Raises BadInputError in Docker's words for a name that the files do not have.
    """
    wanted, _, wanted_group = text.partition(":")
    wanted = wanted or "0"
    entries = [line.split(":") for line in read("etc/passwd").splitlines()]
    entry = next((e for e in entries if len(e) >= 7 and (e[0] == wanted or e[2] == wanted)), None)
    groups = [fields for line in read("etc/group").splitlines() if len(fields := line.split(":")) >= 4]
    if entry is None and not wanted.isdigit():
        raise BadInputError(
            f"unable to find user {wanted}: no matching entries in passwd file",
            "use a number, or a name of the image",
        )
    uid = _number(entry[2], wanted) if entry else _number(wanted, wanted)
    gid = _number(entry[3], wanted) if entry else 0
    if wanted_group:
        gid = _group_number(wanted_group, groups)
    elif entry:
        member = entry[0]
    also = [
        int(g[2])
        for g in groups
        if entry and not wanted_group and g[2].isdigit() and member in g[3].split(",")
    ]
    also += [_group_number(group, groups) for group in extra_groups]
    home = entry[5] if entry and entry[5] else "/"
    return User(uid, gid, tuple(dict.fromkeys([*also])), home)


def layered_reader(folders: Sequence[Path]) -> Read:
    """Read from the first of `folders`, the topmost first, that has the path; "" when none has or it was
    deleted.
    """

    def read(path: str) -> str:
        for folder in folders:
            try:
                with RootFiles(folder) as files:
                    kind = files.lstat(path).st_mode
                    if stat.S_ISCHR(kind):  # a whiteout: deleted here
                        return ""
                    return files.read(path, LARGEST_FILE).decode("utf-8", "replace")
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError:  # a directory, a device, a loop of links: no such file for us
                return ""
        return ""

    return read


def _group_number(text: str, groups: Sequence[Sequence[str]]) -> int:
    for group in groups:
        if text in (group[0], group[2]) and group[2].isdigit():
            return int(group[2])
    if text.isdigit():
        return _number(text, text)
    raise BadInputError(
        f"unable to find group {text}: no matching entries in group file",
        "use a number, or a group of the image",
    )


def _number(text: str, wanted: str) -> int:
    if text.isdigit() and int(text) < 1 << 31:
        return int(text)
    raise BadInputError(
        f"uids and gids must be in range 0-2147483647: {wanted}", f"{os.uname().sysname}'s own limit"
    )
