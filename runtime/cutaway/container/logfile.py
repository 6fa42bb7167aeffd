"""A container's log: one JSON object a line, in the format of Docker's `json-file` driver.

    {"log":"hello\\n","stream":"stdout","time":"2024-05-01T12:00:00.123456789Z"}

Programs write bytes, not lines. What comes is cut at newlines; an unfinished line waits for its end, up to 16
KiB, then it is written in pieces, of which only the last ends in a newline (Docker's rule, so readers can
join them). A full disk must not stop the container: the record is dropped and counted, and the file is cut
back to whole lines.

A log that has reached its `max_size` is put aside as `<name>.1`, the one before it as `<name>.2`, up to as
many as `max_files` in all, and a new one is begun. A file is never cut short while somebody may be reading
it: readers keep the one they opened and look for its successor (see `logs`).
"""

from __future__ import annotations

import contextlib
import json
import os
import time

LONGEST_PIECE = 16 * 1024
_quote = json.encoder.encode_basestring  # the quoting of json.dumps without its detours


class LogFile:
    """Where a container's output is kept. Opened for appending: a restart goes on in the same file.

    `max_size` in bytes, 0 for no limit; `attrs` are written into each record.
    """

    def __init__(
        self, path: str, max_size: int = 0, max_files: int = 1, attrs: dict[str, str] | None = None
    ) -> None:
        self._path, self._max_size, self._max_files = path, max_size, max_files
        self._attrs = f',"attrs":{json.dumps(attrs)}' if attrs else ""
        self._unfinished: dict[str, bytes] = {}
        self.dropped = 0
        self._open()

    def position(self) -> list[int]:
        """Inode of the file and bytes written to it: up to there a reader finds whole lines."""
        about = os.fstat(self._fd)
        return [about.st_ino, about.st_size]

    def write(self, stream: str, data: bytes) -> None:
        """Record what the program wrote to `stream` ("stdout" or "stderr"). Never raises for a full disk."""
        data = self._unfinished.pop(stream, b"") + data
        cut = data.rfind(b"\n") + 1
        records = data[:cut].splitlines(keepends=True) if b"\r" not in data else _split(data[:cut])
        rest = data[cut:]
        if len(rest) >= LONGEST_PIECE:
            whole = len(rest) - len(rest) % LONGEST_PIECE
            records.append(rest[:whole])
            rest = rest[whole:]
        if rest:
            self._unfinished[stream] = rest
        if records:
            self._append(stream, records)

    def close(self) -> None:
        """Write what never got its newline, and close."""
        for stream, rest in self._unfinished.items():
            self._append(stream, [rest])
        self._unfinished.clear()
        os.close(self._fd)

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._fd = os.open(self._path, flags, 0o640)
        self._size = os.fstat(self._fd).st_size

    def _append(self, stream: str, records: list[bytes]) -> None:
        tail = f',"stream":"{stream}"{self._attrs},"time":"{timestamp(time.time_ns())}"}}\n'
        lines = [
            f'{{"log":{_quote(piece.decode("utf-8", "replace"))}{tail}'
            for record in records
            for piece in _pieces(record)
        ]
        if not self._max_size:
            self._write_whole("".join(lines).encode(), len(lines))
            return
        for line in lines:
            if self._size >= self._max_size:
                self._rotate()
            self._write_whole(line.encode(), 1)

    def _write_whole(self, data: bytes, count: int) -> None:
        written = 0
        try:
            while written < len(data):
                written += os.write(self._fd, data[written:] if written else data)
            self._size += written
        except OSError:
            self.dropped += count
            if written:
                os.ftruncate(self._fd, os.fstat(self._fd).st_size - written)

    def _rotate(self) -> None:
        """Put the file aside and begin a new one; where the disk does not let us, the old one goes on."""
        with contextlib.suppress(OSError):
            for number in range(self._max_files - 1, 0, -1):
                older = f"{self._path}.{number - 1}" if number > 1 else self._path
                with contextlib.suppress(FileNotFoundError):
                    os.rename(older, f"{self._path}.{number}")  # noqa: PTH104 - no pathlib here
            if self._max_files == 1:
                os.unlink(self._path)  # noqa: PTH108 - nor here
            old = self._fd
            self._open()
            os.close(old)


def timestamp(time_ns: int) -> str:
    """RFC 3339 with nanoseconds, in UTC: `2024-05-01T12:00:00.123456789Z`."""
    seconds, nanoseconds = divmod(time_ns, 1_000_000_000)
    year, month, day, hour, minute, second, *_ = time.gmtime(seconds)
    return f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanoseconds:09}Z"


def _split(data: bytes) -> list[bytes]:
    # bytes.splitlines also ends lines at a lone carriage return, which progress bars use within one line
    return [line + b"\n" for line in data.split(b"\n")[:-1]]


def _pieces(record: bytes) -> list[bytes]:
    if len(record) <= LONGEST_PIECE:
        return [record]
    return [record[start : start + LONGEST_PIECE] for start in range(0, len(record), LONGEST_PIECE)]
