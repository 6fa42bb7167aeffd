"""Removing a tree that a stranger made, without following its links or being exhausted by its depth.

Every directory is opened relative to its parent's descriptor and with O_NOFOLLOW, so a directory that is
swapped for a link while we work is not entered. A program may nest directories much deeper than a path is
long, or than we may have descriptors: what lies too deep is first renamed up to the top of the tree, and
removed from there.
"""

from __future__ import annotations

import os

_DEPTH = 64
_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_entry(parent: int, name: str) -> None:
    """Remove `name` in the directory `parent`, with all below it if it is a directory.

    FileNotFoundError if absent.
    """
    if _unlinked(parent, name):
        return
    empty_directory(parent, name)
    os.rmdir(name, dir_fd=parent)


def empty_directory(parent: int, name: str) -> None:
    """Remove all that is in the directory `name` of `parent`."""
    top = os.open(name, _FLAGS, dir_fd=parent)
    try:
        while names := os.listdir(top):  # again: deep ones were moved here
            for inner in names:
                _remove(top, inner, top, _DEPTH)
    finally:
        os.close(top)


def _remove(parent: int, name: str, top: int, depth: int) -> None:
    if _unlinked(parent, name):
        return
    if depth == 0:
        os.rename(name, f".cutaway-{os.urandom(8).hex()}", src_dir_fd=parent, dst_dir_fd=top)
        return
    directory = os.open(name, _FLAGS, dir_fd=parent)
    try:
        for inner in os.listdir(directory):
            _remove(directory, inner, top, depth - 1)
    finally:
        os.close(directory)
    os.rmdir(name, dir_fd=parent)


def _unlinked(parent: int, name: str) -> bool:
    try:
        os.unlink(name, dir_fd=parent)
    except IsADirectoryError:
        return False
    return True
