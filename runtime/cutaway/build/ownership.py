"""Whose the copied files are: `--chown` in the words of the image's own /etc/passwd and /etc/group.

A name means nothing to the kernel. `node` is whatever number the *image* gives it, so both files are read
inside its file system. Source: Dockerfile reference, "COPY --chown"; passwd(5), group(5).
"""

from __future__ import annotations

from cutaway.build.failures import BuildFailedError
from cutaway.linux.files import RootFiles

LARGEST_FILE = 4 << 20  # bytes


def look_up(root: RootFiles, text: str) -> tuple[int, int]:
    """`user[:group]`, names or numbers, as uid and gid. Without a group it is the one called like the user.

    Raises BuildFailedError for a name that the image does not know.
    """
    user, colon, group = text.partition(":")
    group = group if colon else user
    return _number(root, "etc/passwd", "user", user), _number(root, "etc/group", "group", group)


def _number(root: RootFiles, path: str, noun: str, name: str) -> int:
    if name.isdigit():
        return int(name)
    kind = "uid" if noun == "user" else "gid"
    for line in _lines(root, path):
        fields = line.split(":")
        if len(fields) > 2 and fields[0] == name and fields[2].isdigit():
            return int(fields[2])
    raise BuildFailedError(
        "unable to convert uid/gid chown string to host mapping: "
        f"can't find {kind} for {noun} {name}: no such {noun}: {name}",
        f"add it with RUN first, or use its number; the image's /{path} is what counts",
    )


def _lines(root: RootFiles, path: str) -> list[str]:
    try:
        data = root.read(path, LARGEST_FILE)
    except OSError:
        return []
    return data.decode(errors="replace").splitlines()
