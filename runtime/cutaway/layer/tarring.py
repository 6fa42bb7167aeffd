"""Files become members of a tar, one after another.

Every file is opened from the descriptor of its folder and never by a path, so somebody who swaps things in
the tree at this moment gets his own files packed, or none: never the host's (see `walk`). Owners are written
as numbers, times as whole seconds, so the same files give the same bytes.
"""

from __future__ import annotations

import os
import stat
import tarfile

from cutaway.layer.streams import CHUNK, Writable
from cutaway.layer.walk import Entry

_KEPT_ATTRIBUTES = ("security.capability", "user.")
_KINDS = {
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFREG: tarfile.REGTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFBLK: tarfile.BLKTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
}


class TarWriter:
    """Writes entries of a walk; further names of one file become hard links to the first."""

    def __init__(self, output: Writable) -> None:
        self._output = output
        self._seen: dict[tuple[int, int], str] = {}

    def add(self, entry: Entry, name: str) -> int:
        """Write one member under this name; folders get a slash. Returns the bytes of its content.

        Sockets are left out: they mean nothing without the process that listens. So is what has vanished.
        A file that shrinks while it is read is filled with zeros, one that grows is cut: the header comes
        first.
        """
        if stat.S_ISSOCK(entry.stat.st_mode):
            return 0
        info = _header(entry, name)
        if not entry.is_directory and entry.stat.st_nlink > 1:
            known = self._seen.setdefault((entry.stat.st_dev, entry.stat.st_ino), name)
            if known != name:
                info.type, info.linkname, info.size = tarfile.LNKTYPE, known, 0
        try:
            return self._write(info, entry)
        except FileNotFoundError:
            return 0

    def mark(self, name: str, mtime: float) -> None:
        """Write an empty file: a whiteout."""
        info = tarfile.TarInfo(name)
        info.mode = 0
        info.mtime = int(mtime)
        self._output.write(_encode(info))

    def end(self) -> None:
        """Write the end of the archive."""
        self._output.write(bytes(2 * tarfile.BLOCKSIZE))

    def _write(self, info: tarfile.TarInfo, entry: Entry) -> int:
        if info.issym():
            info.linkname = os.readlink(entry.name, dir_fd=entry.folder)
        if info.type not in (tarfile.REGTYPE, tarfile.DIRTYPE):
            self._output.write(_encode(info))
            return 0
        with entry.opened() as descriptor:
            info.pax_headers = _attributes(descriptor)
            self._output.write(_encode(info))
            self._copy(descriptor, info.size)
        return info.size

    def _copy(self, descriptor: int, size: int) -> None:
        left = size
        while left:
            data = os.read(descriptor, min(left, CHUNK)) or bytes(min(left, CHUNK))
            self._output.write(data)
            left -= len(data)
        self._output.write(bytes(-size % tarfile.BLOCKSIZE))


def _header(entry: Entry, name: str) -> tarfile.TarInfo:
    found = entry.stat
    info = tarfile.TarInfo(name.rstrip("/") + "/" if entry.is_directory else name)
    info.type = _KINDS[stat.S_IFMT(found.st_mode)]
    info.mode = stat.S_IMODE(found.st_mode)
    info.uid, info.gid = found.st_uid, found.st_gid
    info.mtime = int(found.st_mtime)
    info.size = entry.size
    if info.ischr() or info.isblk():
        info.devmajor, info.devminor = os.major(found.st_rdev), os.minor(found.st_rdev)
    return info


def _encode(info: tarfile.TarInfo) -> bytes:
    """The header; the pax form is used only for what the old one cannot hold."""
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _attributes(descriptor: int) -> dict[str, str]:
    return {
        "SCHILY.xattr." + name: os.getxattr(descriptor, name).decode("utf-8", "surrogateescape")
        for name in sorted(os.listxattr(descriptor))
        if name.startswith(_KEPT_ATTRIBUTES) and ".overlay." not in name
    }
