from __future__ import annotations

from pathlib import Path

from cutaway.network.resolv import NO_SERVER, hostname_file, hosts, resolv_conf


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_servers_search_and_options_are_taken_over(tmp_path: Path) -> None:
    host = written(
        tmp_path / "a", "# mine\nsearch x.org\nnameserver 10.0.0.1\nnameserver 10.0.0.2\noptions ndots:2\n"
    )
    assert resolv_conf([host]) == (
        "nameserver 10.0.0.1\nnameserver 10.0.0.2\nsearch x.org\noptions ndots:2\n"
    )


def test_loopback_servers_are_left_out(tmp_path: Path) -> None:
    host = written(tmp_path / "a", "nameserver 127.0.0.1\nnameserver ::1\nnameserver 10.0.0.2\n")
    assert resolv_conf([host]) == "nameserver 10.0.0.2\n"


def test_behind_a_loopback_stub_the_real_servers_are_used(tmp_path: Path) -> None:
    stub = written(tmp_path / "a", "nameserver 127.0.0.53\noptions edns0\n")
    real = written(tmp_path / "b", "nameserver 10.0.0.3\nsearch lan\n")
    assert resolv_conf([stub, real]) == "nameserver 10.0.0.3\nsearch lan\n"


def test_with_loopback_servers_only_the_file_says_so(tmp_path: Path) -> None:
    stub = written(tmp_path / "a", "nameserver 127.0.0.53\nsearch lan\n")
    assert resolv_conf([stub, tmp_path / "missing"]) == NO_SERVER + "search lan\n"


def test_a_server_line_without_address_is_ignored(tmp_path: Path) -> None:
    host = written(tmp_path / "a", "nameserver\nnameserver nonsense\n\n; remark\nnameserver 10.0.0.1\n")
    assert resolv_conf([host]) == "nameserver 10.0.0.1\n"


def test_hosts_ends_with_the_container_itself() -> None:
    lines = hosts("172.17.0.2", "web", extra=["db:10.0.0.9"]).splitlines()
    assert lines[0] == "127.0.0.1\tlocalhost"
    assert lines[-2:] == ["10.0.0.9\tdb", "172.17.0.2\tweb"]


def test_hosts_names_the_domain_first() -> None:
    assert hosts("172.17.0.2", "web", "lab.example").splitlines()[-1] == "172.17.0.2\tweb.lab.example web"


def test_without_an_address_hosts_knows_localhost_only() -> None:
    assert "web" not in hosts(None, "web")


def test_hostname_is_one_line() -> None:
    assert hostname_file("web") == "web\n"
