"""Mount options as people write them, `ro,nosuid,size=64m`, split into what mount(2) takes.

Some words are bits of the call's `flags`; the others go to the file system as one string. mount(8) has this
table.
"""

from __future__ import annotations

from cutaway.linux import constants

_SET = {
    "ro": constants.MS_RDONLY,
    "nosuid": constants.MS_NOSUID,
    "nodev": constants.MS_NODEV,
    "noexec": constants.MS_NOEXEC,
    "sync": constants.MS_SYNCHRONOUS,
    "dirsync": constants.MS_DIRSYNC,
    "noatime": constants.MS_NOATIME,
    "nodiratime": constants.MS_NODIRATIME,
    "relatime": constants.MS_RELATIME,
    "strictatime": constants.MS_STRICTATIME,
    "bind": constants.MS_BIND,
    "rbind": constants.MS_BIND | constants.MS_REC,
}
_CLEAR = {
    "rw": constants.MS_RDONLY,
    "suid": constants.MS_NOSUID,
    "dev": constants.MS_NODEV,
    "exec": constants.MS_NOEXEC,
    "async": constants.MS_SYNCHRONOUS,
    "atime": constants.MS_NOATIME,
}


def parse_options(text: str) -> tuple[int, str]:
    """Flags and the rest, e.g. `"ro,size=1m"` gives `(MS_RDONLY, "size=1m")`.

    The later of two opposites wins.
    """
    flags, rest = 0, []
    for word in text.split(","):
        if word in _SET:
            flags |= _SET[word]
        elif word in _CLEAR:
            flags &= ~_CLEAR[word]
        elif word and word != "defaults":
            rest.append(word)
    return flags, ",".join(rest)
