from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutaway.errors import BadInputError, ConflictError
from cutaway.network.ports import (
    EPHEMERAL,
    Binding,
    Port,
    Publication,
    Reservations,
    from_docker,
    parse_bindings,
    to_docker,
)


@pytest.mark.parametrize(("text", "port"), [("80", "80/tcp"), ("53/udp", "53/udp"), ("80/TCP", "80/tcp")])
def test_a_port_is_a_number_and_a_protocol(text: str, port: str) -> None:
    assert str(Port.parse(text)) == port


@pytest.mark.parametrize("text", ["", "x", "0", "65536", "-1", "80/", "80/sctp", "8²"])
def test_other_texts_are_no_ports(text: str) -> None:
    if text == "80/":
        assert str(Port.parse(text)) == "80/tcp"
        return
    with pytest.raises(BadInputError):
        Port.parse(text)


def test_bindings_are_read_as_docker_writes_them() -> None:
    wanted = {
        "80/tcp": [{"HostIp": "", "HostPort": "8080"}, {"HostIp": "127.0.0.1", "HostPort": "8000-8002"}],
        "53/udp": [{"HostPort": ""}],
        "99/tcp": None,
    }
    assert parse_bindings(wanted) == [
        Binding(Port(80, "tcp"), "0.0.0.0", range(8080, 8081)),
        Binding(Port(80, "tcp"), "127.0.0.1", range(8000, 8003)),
        Binding(Port(53, "udp"), "0.0.0.0", EPHEMERAL),
        Binding(Port(99, "tcp"), "0.0.0.0", EPHEMERAL),
    ]


@pytest.mark.parametrize(
    ("address", "port", "message"),
    [
        ("::", "80", "cannot publish on ::: IPv6 is not supported yet"),
        ("[::1]", "80", "cannot publish on [::1]: IPv6 is not supported yet"),
        ("nowhere", "80", "invalid IP address: nowhere"),
        ("", "abc", "invalid port specification: 'abc'"),
        ("", "70000", "invalid port specification: '70000'"),
        ("", "90-80", "invalid port range: 90-80"),
    ],
)
def test_bad_bindings_are_refused(address: str, port: str, message: str) -> None:
    with pytest.raises(BadInputError) as caught:
        parse_bindings({"80/tcp": [{"HostIp": address, "HostPort": port}]})
    assert caught.value.message == message
    assert caught.value.hint


def test_exposed_but_unpublished_ports_are_null() -> None:
    published = [Publication(Port(80, "tcp"), "0.0.0.0", 8080), Publication(Port(80, "tcp"), "127.0.0.1", 81)]
    assert to_docker(published, ["443/tcp", "80/tcp"]) == {
        "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "127.0.0.1", "HostPort": "81"}],
        "443/tcp": None,
    }


@given(
    st.lists(
        st.builds(
            Publication,
            st.builds(Port, st.integers(1, 65535), st.sampled_from(["tcp", "udp"])),
            st.ip_addresses(v=4).map(str),
            st.integers(1, 65535),
        ),
        unique=True,
    )
)
def test_publications_survive_dockers_form(publications: list[Publication]) -> None:
    assert set(from_docker(to_docker(publications))) == set(publications)


def test_a_reserved_port_cannot_be_bound_and_is_free_after_release() -> None:
    reservations = Reservations()
    (published,) = reservations.take("a", [Binding(Port(80, "tcp"), "127.0.0.1", EPHEMERAL)])
    with pytest.raises(OSError, match="in use"):
        socket.create_server(("127.0.0.1", published.host_port))
    reservations.release("a")
    socket.create_server(("127.0.0.1", published.host_port)).close()


def test_a_reserved_port_does_not_listen() -> None:
    reservations = Reservations()
    (published,) = reservations.take("a", [Binding(Port(80, "tcp"), "127.0.0.1", EPHEMERAL)])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", published.host_port))
    reservations.close()


def test_all_or_none_is_taken() -> None:
    reservations = Reservations()
    (first,) = reservations.take("a", [Binding(Port(80, "tcp"), "127.0.0.1", EPHEMERAL)])
    taken = range(first.host_port, first.host_port + 1)
    wanted = [
        Binding(Port(1, "udp"), "127.0.0.1", taken),
        Binding(Port(80, "tcp"), "0.0.0.0", taken),
    ]
    with pytest.raises(ConflictError) as caught:
        reservations.take("b", wanted)
    assert caught.value.message == f"Bind for 0.0.0.0:{first.host_port} failed: port is already allocated"
    (again,) = reservations.take("c", wanted[:1])
    assert again.host_port == first.host_port
    reservations.close()


def test_a_range_gives_its_first_free_port() -> None:
    reservations = Reservations()
    (first,) = reservations.take("a", [Binding(Port(80, "tcp"), "127.0.0.1", EPHEMERAL)])
    wanted = Binding(Port(80, "tcp"), "127.0.0.1", range(first.host_port, first.host_port + 20))
    (second,) = reservations.take("b", [wanted])
    assert first.host_port < second.host_port < first.host_port + 20
    reservations.close()


def test_after_a_restart_lost_ports_are_named() -> None:
    reservations = Reservations()
    with socket.create_server(("127.0.0.1", 0)) as server:
        mine = Publication(Port(80, "tcp"), "127.0.0.1", server.getsockname()[1])
        assert reservations.retake("a", [mine]) == [mine]
    assert reservations.retake("a", [mine]) == []
    reservations.close()
