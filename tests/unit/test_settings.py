"""Settings: where an engine lives and what its kernel objects are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from cutaway.errors import BadInputError
from cutaway.settings import DEFAULT_ROOT, Settings


def settings(**environ: str) -> Settings:
    return Settings.from_environment(environ=environ)


def test_arguments_win_over_the_environment() -> None:
    environ = {"CUTAWAY_ROOT": "/srv/a", "CUTAWAY_HOST": "unix:///run/a.sock"}
    chosen = Settings.from_environment("/srv/b", "/run/b.sock", environ)
    assert (chosen.root, chosen.socket) == (Path("/srv/b"), Path("/run/b.sock"))


def test_the_environment_names_root_and_socket() -> None:
    chosen = settings(CUTAWAY_ROOT="/srv/a", CUTAWAY_HOST="unix:///run/a.sock")
    assert (chosen.root, chosen.socket) == (Path("/srv/a"), Path("/run/a.sock"))
    assert chosen.address == "unix:///run/a.sock"


def test_an_own_root_has_its_socket_inside() -> None:
    assert settings(CUTAWAY_ROOT="/srv/a").socket == Path("/srv/a/engine.sock")


def test_paths_become_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert settings(CUTAWAY_ROOT="state/../root").root == tmp_path / "root"


def test_only_unix_addresses_are_taken() -> None:
    with pytest.raises(BadInputError) as caught:
        settings(CUTAWAY_HOST="tcp://127.0.0.1:2375")
    assert caught.value.message == (
        'CUTAWAY_HOST "tcp://127.0.0.1:2375" is not an address of the form unix:///path'
    )


def test_a_socket_path_that_the_kernel_would_cut_is_refused() -> None:
    with pytest.raises(BadInputError, match="is longer than 107 bytes"):
        settings(CUTAWAY_ROOT="/srv/" + "a" * 100)


def test_the_default_root_has_the_plain_instance_name() -> None:
    assert Settings(DEFAULT_ROOT, Path("/run/x.sock")).instance == "cutaway0"


def test_every_other_root_has_a_name_of_its_own_that_fits_an_interface() -> None:
    names = {Settings(Path(f"/srv/{number}"), Path("/x")).instance for number in range(50)}
    assert len(names) == 50
    assert max(map(len, names)) <= 15


def test_two_sockets_on_one_root_are_one_instance() -> None:
    assert Settings(Path("/srv/a"), Path("/x")).instance == Settings(Path("/srv/a"), Path("/y")).instance
