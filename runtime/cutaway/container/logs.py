"""Reading a container's log back: the last lines, a span of time, and what is being written right now.

The file only ever grows, a whole line at a time, so it can be read without a lock. The last lines are found
by reading backwards in blocks. Following uses inotify(7): the kernel says when the file has grown; when the
container has ended and the file is read to its end, nothing more will come.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec

from cutaway.linux.kernel import Kernel

BLOCK = 256 * 1024
IN_MODIFY = 0x2


class Line(msgspec.Struct):
    """One record of the file."""

    log: str
    stream: str
    time: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of a log. `since` and `until` as RFC 3339 in UTC or ""; `tail` of None is everything."""

    stdout: bool = True
    stderr: bool = True
    since: str = ""
    until: str = ""
    tail: int | None = None
    timestamps: bool = False


_decoder = msgspec.json.Decoder(Line)


async def read(
    path: Path, wanted: Wanted, size: int | None = None
) -> AsyncGenerator[tuple[str, bytes], None]:
    """(stream, bytes) of what is in the file now, in batches: neighbours of one stream are joined.

    `size` is where to stop, in bytes from the beginning; it must lie between two lines.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        if wanted.tail is not None:
            file.seek(_start_of_tail(file, wanted))
        for batch in _batches(file, wanted, size):
            yield batch
            await asyncio.sleep(0)


async def follow(
    path: Path, wanted: Wanted, *, running: Callable[[], bool], ended: Callable[[], Awaitable[object]]
) -> AsyncGenerator[tuple[str, bytes], None]:
    """The same, and then what is added until the container ends. `ended` returns at its next end."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file, _Growth(path) as growth:
        if wanted.tail is not None:
            file.seek(_start_of_tail(file, wanted))
        end = asyncio.ensure_future(ended())
        try:
            while True:
                over = (
                    end.done() or not running()
                )  # asked before reading: what comes later was written before
                for batch in _batches(file, wanted):
                    yield batch
                    await asyncio.sleep(0)
                if over:
                    return
                await growth.wait(end)
        finally:
            end.cancel()


class _Growth:
    """Wakes when a file is written to."""

    def __init__(self, path: Path) -> None:
        kernel = Kernel()
        self._fd = kernel.inotify_init()
        kernel.inotify_add_watch(self._fd, str(path), IN_MODIFY)
        self._news = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._fd, self._read)

    def __enter__(self) -> _Growth:
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)

    async def wait(self, end: asyncio.Future[object]) -> None:
        news = asyncio.ensure_future(self._news.wait())
        try:
            await asyncio.wait((news, end), return_when=asyncio.FIRST_COMPLETED)
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
            text += f"{line.time} {line.log}".encode() if wanted.timestamps else line.log.encode()
        if text:
            yield stream, bytes(text)


def _passes(line: Line, wanted: Wanted) -> bool:
    shown = wanted.stdout if line.stream == "stdout" else wanted.stderr
    return (
        shown
        and (not wanted.since or line.time >= wanted.since)
        and (not wanted.until or line.time <= wanted.until)
    )


def _start_of_tail(file: BinaryIO, wanted: Wanted) -> int:
    """Where the last `tail` lines that pass begin; a long line counts once for each of its records."""
    end = position = file.seek(0, os.SEEK_END)
    if not wanted.tail:
        return end
    missing, rest = wanted.tail, b""
    while position > 0:
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
                if missing < 0:
                    return offset + len(raw) + 1
    return 0
