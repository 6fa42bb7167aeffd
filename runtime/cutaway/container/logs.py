"""Reading a container's log back: the last lines, a span of time, and what is being written right now.

A file only ever grows, a whole line at a time, so it can be read without a lock. The last lines are found
by reading backwards in blocks. With `max-size` there are several files, and the keeper may put one aside at
any moment; an open descriptor stays with its file whatever that is called now, so the files are told apart
by inode. Following uses inotify(7) on their folder: the kernel says when a file has grown or a new one was
begun; when the container has ended and the last file is read to its end, nothing more will come.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote_plus

import msgspec

from cutaway.container.records import seconds_since_epoch
from cutaway.linux.kernel import Kernel

BLOCK = 256 * 1024
IN_MODIFY, IN_MOVED_TO, IN_CREATE = 0x2, 0x80, 0x100


class Line(msgspec.Struct):
    """One record of the file."""

    log: str
    stream: str
    time: str
    attrs: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of a log. `since` and `until` as RFC 3339 in UTC or ""; `tail` of None is everything."""

    stdout: bool = True
    stderr: bool = True
    since: str = ""
    until: str = ""
    tail: int | None = None
    timestamps: bool = False
    details: bool = False


_decoder = msgspec.json.Decoder(Line)


async def read(
    path: Path, wanted: Wanted, written: Sequence[int] | None = None
) -> AsyncGenerator[tuple[str, bytes], None]:
    """(stream, bytes) of what is in the log now, in batches: neighbours of one stream are joined.

    `written` is where to stop: the inode of a file and a size in bytes, which must lie between two lines.
    """
    with contextlib.ExitStack() as stack:
        files = _open_files(path, stack)
        if written is not None:
            inodes = [_inode(file) for file in files]
            files = files[: inodes.index(written[0]) + 1] if written[0] in inodes else []
        _skip_to_tail(files, wanted)
        for file in files:
            last = written is not None and file is files[-1]
            for batch in _batches(file, wanted, written[1] if written and last else None):
                yield batch
                await asyncio.sleep(0)


async def follow(
    path: Path, wanted: Wanted, *, running: Callable[[], bool], ended: Callable[[], Awaitable[object]]
) -> AsyncGenerator[tuple[str, bytes], None]:
    """The same, and then what is added until the container ends or `until` comes.

    `ended` returns at the container's next end.
    """
    with _Growth(path.parent) as growth, contextlib.ExitStack() as stack:
        files = _open_files(path, stack)
        _skip_to_tail(files, wanted)
        end = asyncio.ensure_future(ended())
        try:
            while files:
                left = _seconds_left(wanted)
                # asked before reading: what comes later was written before
                over = end.done() or not running() or left <= 0
                while True:
                    complete = len(files) > 1  # put aside: nothing is added any more
                    for batch in _batches(files[0], wanted):
                        yield batch
                        await asyncio.sleep(0)
                    if complete:
                        files.pop(0).close()
                        continue
                    newer = _successors(path, files[0], stack)
                    if not newer:
                        break
                    files += newer
                if over:
                    return
                await growth.wait(end, left)
        finally:
            end.cancel()


def _open_files(path: Path, stack: contextlib.ExitStack) -> list[BinaryIO]:
    """The log's files that are there, oldest first. `stack` closes them."""
    found: dict[int, BinaryIO] = {}
    missing = 0
    # from the newest on: one that is put aside meanwhile is met again under its next name
    for number in itertools.count():
        try:
            file = stack.enter_context(
                (path.with_name(f"{path.name}.{number}") if number else path).open("rb")
            )
        except FileNotFoundError:
            missing += 1  # one may be missing for a moment, while names are handed on
            if missing > 1:
                break
            continue
        found.setdefault(_inode(file), file)
    return list(reversed(found.values()))


def _successors(path: Path, file: BinaryIO, stack: contextlib.ExitStack) -> list[BinaryIO]:
    """The files that were begun after `file`, oldest first."""
    try:
        if path.stat().st_ino == _inode(file):
            return []
    except FileNotFoundError:
        return []  # about to be begun: that wakes the follower again
    files = _open_files(path, stack)
    inodes = [_inode(other) for other in files]
    return files[inodes.index(_inode(file)) + 1 :] if _inode(file) in inodes else files


def _inode(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_ino


def _seconds_left(wanted: Wanted) -> float:
    return seconds_since_epoch(wanted.until) - time.time() if wanted.until else math.inf


class _Growth:
    """Wakes when a file in a folder is written to or is new."""

    def __init__(self, folder: Path) -> None:
        kernel = Kernel()
        self._fd = kernel.inotify_init()
        kernel.inotify_add_watch(self._fd, str(folder), IN_MODIFY | IN_MOVED_TO | IN_CREATE)
        self._news = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._fd, self._read)

    def __enter__(self) -> _Growth:
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)

    async def wait(self, end: asyncio.Future[object], seconds: float) -> None:
        news = asyncio.ensure_future(self._news.wait())
        limit = None if seconds == math.inf else max(0, seconds)
        try:
            await asyncio.wait((news, end), timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        finally:
            news.cancel()
        self._news.clear()

    def _read(self) -> None:
        os.read(self._fd, 65536)
        self._news.set()


def _batches(file: BinaryIO, wanted: Wanted, size: int | None = None) -> Iterator[tuple[str, bytes]]:
    """All whole lines from the present position on, about a block at a time."""
    while True:
        position = file.tell()
        block = file.read(BLOCK if size is None else max(0, min(BLOCK, size - position)))
        cut = block.rfind(b"\n") + 1
        if not cut:
            file.seek(position)
            return
        file.seek(position + cut)
        stream, text = "", bytearray()
        for raw in block[:cut].splitlines():
            line = _decoder.decode(raw)
            if not _passes(line, wanted):
                continue
            if line.stream != stream and text:
                yield stream, bytes(text)
                text.clear()
            stream = line.stream
            text += _shown(line, wanted)
        if text:
            yield stream, bytes(text)


def _shown(line: Line, wanted: Wanted) -> bytes:
    text = line.log
    if wanted.details:
        pairs = (f"{quote_plus(name)}={quote_plus(value)}" for name, value in sorted(line.attrs.items()))
        text = f"{','.join(pairs)} {text}"
    return f"{line.time} {text}".encode() if wanted.timestamps else text.encode()


def _passes(line: Line, wanted: Wanted) -> bool:
    shown = wanted.stdout if line.stream == "stdout" else wanted.stderr
    return (
        shown
        and (not wanted.since or line.time >= wanted.since)
        and (not wanted.until or line.time <= wanted.until)
    )


def _skip_to_tail(files: list[BinaryIO], wanted: Wanted) -> None:
    """Place every file where the last `tail` lines that pass begin."""
    missing = wanted.tail
    if missing is None:
        return
    for file in reversed(files):
        missing = _skip_back(file, wanted, missing)


def _skip_back(file: BinaryIO, wanted: Wanted, missing: int) -> int:
    """Place the file where its last lines begin; how many it lacks. A long line counts for each record."""
    position = file.seek(0, os.SEEK_END)
    rest = b""
    while position > 0 and missing:
        size = min(BLOCK, position)
        position -= size
        file.seek(position)
        block = file.read(size) + rest
        lines = block.split(b"\n")
        rest = lines[0] if position else b""
        offset = position + len(block) + 1
        for raw in reversed(lines[1:] if position else lines):
            offset -= len(raw) + 1
            if raw and _passes(_decoder.decode(raw), wanted):
                missing -= 1
                if not missing:
                    file.seek(offset)
                    return 0
    if missing:
        file.seek(0)
    return missing
