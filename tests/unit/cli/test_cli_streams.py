"""Frames, detach keys, completion: what needs no engine."""

from __future__ import annotations

import io
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutaway.cli.completion import candidates
from cutaway.cli.failures import CommandError
from cutaway.cli.hijack import demultiplex
from cutaway.cli.streams import write_text_to
from cutaway.cli.terminal import UntilDetached, key_bytes


class Typed:
    """A source that gives its pieces one by one."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)

    def read(self, size: int, /) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""


def everything(source: UntilDetached) -> bytes:
    return b"".join(iter(lambda: source.read(100), b""))


@pytest.mark.parametrize(
    ("keys", "number"),
    [("ctrl-p,ctrl-q", b"\x10\x11"), ("a", b"a"), ("ctrl-a,b", b"\x01b"), ("ctrl-@", b"\0")],
)
def test_detach_keys_are_bytes(keys: str, number: bytes) -> None:
    assert key_bytes(keys) == number


def test_what_is_no_key_is_refused() -> None:
    with pytest.raises(CommandError, match="invalid detach keys"):
        key_bytes("ctrl-pq")


def test_the_detach_keys_end_the_input_and_are_not_sent() -> None:
    source = UntilDetached(Typed(b"ls\n\x10", b"\x11more"), b"\x10\x11")
    assert everything(source) == b"ls\n"
    assert source.detached


def test_half_of_the_keys_is_sent_when_the_rest_does_not_follow() -> None:
    source = UntilDetached(Typed(b"\x10", b"a", b"\x10\x10", b"\x11"), b"\x10\x11")
    assert everything(source) == b"\x10a\x10"
    assert source.detached


def test_without_the_keys_everything_passes() -> None:
    source = UntilDetached(Typed(b"a\x10"), b"\x10\x11")
    assert everything(source) == b"a\x10"
    assert not source.detached


@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(min_size=1, max_size=20))), st.integers(0, 40))
def test_frames_come_back_however_they_are_cut(frames: list[tuple[int, bytes]], missing: int) -> None:
    data = b"".join(bytes([number, 0, 0, 0]) + len(text).to_bytes(4, "big") + text for number, text in frames)
    assert list(demultiplex(io.BytesIO(data))) == frames
    whole = b"".join(text for _, text in frames)
    assert whole.startswith(
        b"".join(text for _, text in demultiplex(io.BytesIO(data[: len(data) - missing])))
    )


def test_a_character_in_two_pieces_is_whole_in_a_cell() -> None:
    cell = io.StringIO()
    sink = write_text_to(cell)
    for number in "容器".encode():
        sink(bytes([number]))
    sink(b"\xff")
    assert cell.getvalue() == "容器\ufffd"


class Engine(BaseHTTPRequestHandler):
    """Enough of an engine to complete names."""

    answers: ClassVar = {
        "/containers/json?all=0": [{"Names": ["/web"]}],
        "/containers/json?all=1": [{"Names": ["/web"]}, {"Names": ["/old"]}],
        "/images/json": [{"RepoTags": ["busybox:latest", "lab/x:2"]}, {"RepoTags": None}],
    }

    def do_GET(self) -> None:
        data = json.dumps(self.answers[self.path]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[Path]:
    server = ThreadingUnixStreamServer(str(tmp_path / "s"), Engine)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield tmp_path / "s"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("ru", ["run"]),
        ("run --na", ["--name"]),
        ("run bus", ["busybox"]),
        ("run --name x l", ["lab/x:2"]),
        ("run -it --rm busybox ", []),
        ("exec ", ["web"]),
        ("exec -it w", ["web"]),
        ("rm ", ["old", "web"]),
        ("rm old w", ["web"]),
        ("inspect ", ["busybox", "lab/x:2", "old", "web"]),
        ("run --network ", ["bridge", "host", "none"]),
        ("run --memory ", []),
        ("engine st", ["start", "status", "stop"]),
        ("engine start --fo", ["--foreground"]),
        ("images b", ["bootstrap", "busybox"]),
        ("images bootstrap d", ["debian"]),
        ("explain ", ["create", "run"]),
        ("explain run --ent", ["--entrypoint"]),
        ("view ", ["layers", "namespaces"]),
        ("view layers o", ["old"]),
        ("attach --sig", ["--sig-proxy"]),
        ("nonsense ", []),
    ],
)
def test_a_tab_offers_what_may_follow(listening: Path, typed: str, found: list[str]) -> None:
    assert candidates(typed.split() + [""] * typed.endswith(" "), listening) == found


def test_a_tab_is_silent_without_an_engine(tmp_path: Path) -> None:
    assert candidates(["exec", ""], tmp_path / "none") == []
    assert candidates(["exec", ""], None) == []


def test_a_tab_is_silent_when_the_engine_does_not_answer(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "s"))
        silent.listen()
        assert candidates(["exec", ""], tmp_path / "s") == []
