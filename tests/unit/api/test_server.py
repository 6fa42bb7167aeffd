"""One lock, one socket: two engines on one root are refused, a killed one's socket is replaced."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from cutaway.api.server import bind, check_socket_place, lock_root, prepare_root
from cutaway.errors import ConflictError, NotPermittedError
from cutaway.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(tmp_path / "root", tmp_path / "engine.sock")


def test_the_socket_is_for_its_owner_only(settings: Settings) -> None:
    with bind(settings.socket):
        assert stat.S_IMODE(settings.socket.stat().st_mode) == 0o600


def test_a_second_engine_on_a_root_is_refused_with_the_first_ones_pid(settings: Settings) -> None:
    prepare_root(settings)
    with lock_root(settings), pytest.raises(ConflictError) as caught, lock_root(settings):
        pass
    assert caught.value.message == (
        f"another engine, process {os.getpid()}, uses the root folder {settings.root}"
    )


def test_a_root_is_free_again_after_its_engine(settings: Settings) -> None:
    prepare_root(settings)
    with lock_root(settings):
        pass
    with lock_root(settings):
        pass


def test_a_socket_that_nobody_listens_on_is_replaced(settings: Settings) -> None:
    bind(settings.socket).close()
    check_socket_place(settings.socket)
    with bind(settings.socket), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(settings.socket))


def test_a_file_in_the_way_is_named_and_kept(settings: Settings) -> None:
    settings.socket.write_text("mine")
    with pytest.raises(ConflictError) as caught:
        check_socket_place(settings.socket)
    assert caught.value.message == f"{settings.socket} is in the way: it is not a socket"
    assert settings.socket.read_text() == "mine"


def test_a_socket_in_use_is_left_alone(settings: Settings) -> None:
    with bind(settings.socket):
        with pytest.raises(ConflictError) as caught:
            check_socket_place(settings.socket)
        assert caught.value.message == f"{settings.socket} is in the way: another engine listens on it"


def test_the_root_folder_is_private(settings: Settings) -> None:
    prepare_root(settings)
    assert stat.S_IMODE(settings.root.stat().st_mode) == 0o700
    assert list(settings.root.iterdir()) == []


def test_a_root_below_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotPermittedError) as caught:
        prepare_root(Settings(tmp_path / "file" / "root", tmp_path / "s"))
    assert caught.value.message == f"cannot write to the root folder {tmp_path}/file/root: not a directory"


def test_a_root_that_takes_no_files_is_told() -> None:
    with pytest.raises(NotPermittedError, match="cannot write to the root folder /proc/cutaway"):
        prepare_root(Settings(Path("/proc/cutaway"), Path("/x")))
