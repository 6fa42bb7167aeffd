from __future__ import annotations

import msgspec
import pytest

from cutaway.errors import BadInputError
from cutaway.linux.netlink import ConfigureInterface, ConfigureLoopback, CreateVeth, Link
from cutaway.network.bridge import Bridge
from cutaway.network.endpoint import Endpoint, network_settings
from cutaway.network.manager import Network, check_mode
from cutaway.network.pool import Subnet

PORTS = {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}], "443/tcp": None}


def endpoint(**ports: list[dict[str, str]] | None) -> Endpoint:
    return Endpoint(
        network="bridge",
        bridge="cutaway0",
        address="172.17.0.2",
        prefix=16,
        gateway="172.17.0.1",
        mac="02:42:ac:11:00:02",
        host_interface="ca0123456789",
        mtu=1500,
        hostname="web",
        ports=dict(ports),
    )


def test_an_endpoint_is_a_cable_beside_and_two_steps_inside() -> None:
    cable = CreateVeth("ca0123456789", "eth0", "cutaway0", "02:42:ac:11:00:02", 1500, hairpin=False)
    eth0 = ConfigureInterface("eth0", "172.17.0.2/16", "172.17.0.1")
    assert Network.steps(endpoint()) == ((cable,), (ConfigureLoopback(), eth0))


def test_a_published_port_makes_a_hairpin_cable() -> None:
    ((cable,), _) = endpoint(**PORTS).steps()
    assert isinstance(cable, CreateVeth)
    assert cable.hairpin


def test_without_network_there_is_only_lo_and_with_the_hosts_nothing_to_do() -> None:
    assert Network.steps(None, "none") == ((), (ConfigureLoopback(),))
    assert Network.steps(None, "host") == ((), ())


def test_an_endpoint_survives_json() -> None:
    one = endpoint(**PORTS)
    assert msgspec.json.decode(msgspec.json.encode(one), type=Endpoint) == one


def test_inspect_shows_address_and_ports() -> None:
    shown = network_settings("cutaway0", "bridge", endpoint(**PORTS))
    assert (shown["IPAddress"], shown["IPPrefixLen"], shown["Gateway"]) == ("172.17.0.2", 16, "172.17.0.1")
    assert shown["Ports"] == PORTS
    assert shown["Networks"]["bridge"]["MacAddress"] == "02:42:ac:11:00:02"


def test_inspect_of_a_stopped_container_has_no_address() -> None:
    shown = network_settings("cutaway0", "bridge", None, {"443/tcp": None})
    assert shown["IPAddress"] == shown["Networks"]["bridge"]["IPAddress"] == ""
    assert shown["Ports"] == {"443/tcp": None}


def test_a_networks_id_is_one_of_the_instance() -> None:
    one = network_settings("cutaway0", "bridge", None)["Networks"]["bridge"]["NetworkID"]
    other = network_settings("cutaway1", "bridge", None)["Networks"]["bridge"]["NetworkID"]
    assert len(one) == len(other) == 64
    assert one != other


@pytest.mark.parametrize(("mode", "network"), [("", "bridge"), ("default", "bridge"), ("none", "none")])
def test_modes(mode: str, network: str) -> None:
    assert check_mode(mode) == network


def test_an_unknown_network_is_refused() -> None:
    with pytest.raises(BadInputError) as caught:
        check_mode("mynet")
    assert caught.value.message == "network mynet not found"


def test_a_bridge_is_known_by_its_remark() -> None:
    bridge = Bridge("cutaway0", Subnet("172.17.0.0/16"), "0")
    assert bridge.remark == "cutaway 172.17.0.0/16 ip_forward=0"
    assert Bridge.parse(Link(5, "cutaway0", 0, 0, 1500, "bridge", bridge.remark)) == bridge


@pytest.mark.parametrize(
    "alias", ["", "cutaway", "cutaway x ip_forward=0", "other 172.17.0.0/16 ip_forward=0"]
)
def test_other_bridges_are_not_ours(alias: str) -> None:
    assert Bridge.parse(Link(5, "docker0", 0, 0, 1500, "bridge", alias)) is None
