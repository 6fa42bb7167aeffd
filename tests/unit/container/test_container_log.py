"""The log file, its reader, and the small parts around a stream."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from pathlib import Path

import pytest

from cutaway import moments
from cutaway.container import logs, packets
from cutaway.container.attachment import DetachKeys
from cutaway.container.logfile import LogFile, timestamp
from cutaway.container.process import exit_code
from cutaway.container.records import rfc3339, seconds_since_epoch


def read(path: Path, wanted: logs.Wanted) -> str:
    async def collect() -> str:
        return b"".join([data async for _, data in logs.read(path, wanted)]).decode()

    return asyncio.run(collect())


def test_lines_are_whole_whatever_the_pieces_were(tmp_path: Path) -> None:
    log = LogFile(str(tmp_path / "log"))
    for piece in (b"a", b"b\nc", b"\r\n", b"d"):
        log.write("stdout", piece)
    log.write("stderr", b"e\n")
    log.close()
    records = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [(r["stream"], r["log"]) for r in records] == [
        ("stdout", "ab\n"),
        ("stdout", "c\r\n"),
        ("stderr", "e\n"),
        ("stdout", "d"),
    ]


def test_a_full_disk_loses_records_but_not_the_writer() -> None:
    log = LogFile("/dev/full")
    log.write("stdout", b"one\ntwo\n")
    log.close()
    assert log.dropped == 2


@pytest.mark.parametrize("tail", [0, 1, 3, 2000, 5000])
def test_the_tail_is_the_last_lines(tmp_path: Path, tail: int) -> None:
    log = LogFile(str(tmp_path / "log"))
    lines = [f"line {number} {'x' * 300}\n" for number in range(3000)]
    log.write("stdout", "".join(lines).encode())
    log.close()
    assert read(tmp_path / "log", logs.Wanted(tail=tail)) == "".join(lines[len(lines) - min(tail, 3000) :])


def test_detach_keys_are_found_across_reads_and_given_back_when_they_are_none() -> None:
    keys = DetachKeys(b"\x10\x11")
    assert keys.split(b"ab") == (b"ab", False)
    assert keys.split(b"c\x10") == (b"c", False)
    assert keys.split(b"d") == (b"\x10d", False)
    assert keys.split(b"\x10\x10") == (b"\x10", False)
    assert keys.split(b"\x11rest") == (b"", True)


def test_packets_carry_descriptors_and_may_be_large() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs, open(os.devnull) as file:
        packets.send(ours, {"data": "x" * 500_000}, [file.fileno()])
        packet, fds = packets.receive(theirs)
        assert packet is not None
        assert len(packet["data"]) == 500_000
        assert os.fstat(fds[0]).st_rdev == os.fstat(file.fileno()).st_rdev
        assert not os.get_inheritable(fds[0])
        os.close(fds[0])
        ours.close()
        assert packets.receive(theirs) == (None, [])


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (600, "10 minutes"),
        (3600, "About an hour"),
        (7300, "2 hours"),
        (86400 * 3, "3 days"),
        (86400 * 20, "2 weeks"),
        (86400 * 90, "3 months"),
        (86400 * 800, "2 years"),
    ],
)
def test_spans_of_time_read_as_in_docker(seconds: float, text: str) -> None:
    assert moments.duration(seconds) == text


def test_times_are_the_same_on_both_sides() -> None:
    moment = 1_700_000_000_123_456_789
    assert timestamp(moment) == rfc3339(moment) == "2023-11-14T22:13:20.123456789Z"
    assert abs(seconds_since_epoch(rfc3339(moment)) - moment / 1e9) < 1e-6


@pytest.mark.parametrize(("status", "code"), [(0, 0), (3 << 8, 3), (9, 137), (15, 143), (11 | 128, 139)])
def test_an_exit_code_is_what_a_shell_says(status: int, code: int) -> None:
    assert exit_code(status) == code
