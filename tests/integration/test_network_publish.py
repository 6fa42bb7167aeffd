"""Containers' networks with real namespaces, each test in a host of its own: a fresh network namespace."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import subprocess
import sys
from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from harness import until
from network_guest import CLONE_NEWNET, ask

from cutaway.errors import BadInputError, ConflictError
from cutaway.linux.kernel import Kernel
from cutaway.linux.netlink import (
    ConfigureInterface,
    ConfigureLoopback,
    CreateVeth,
    Netlink,
    delete_link,
    link_up,
    new_address,
    new_bridge,
)
from cutaway.linux.step import Context, Step
from cutaway.network.endpoint import Endpoint
from cutaway.network.manager import Network
from cutaway.settings import Settings
from cutaway.store.database import Database

pytestmark = pytest.mark.root
IP_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
T = TypeVar("T")


class Guest:
    """A process in a network namespace of its own; see `network_guest`."""

    def __init__(self, name: str) -> None:
        self.name = name
        command = [sys.executable, str(Path(__file__).with_name("network_guest.py"))]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == '"ready"\n'

    def plug(self, beside: tuple[Step, ...], inside: tuple[Step, ...]) -> None:
        for step in beside:
            step.execute(Context(Kernel(), self.process.pid))
        self.tell("steps", [step.to_json() for step in inside])

    def tell(self, verb: str, what: Any) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({verb: what}) + "\n")
        return str(json.loads(self.process.stdout.readline()))

    def serve(self, protocol: str, port: int) -> None:
        self.tell("serve", [protocol, port, self.name])

    def ask(self, protocol: str, address: str, port: int) -> str:
        return self.tell("ask", [protocol, address, port])

    def close(self) -> None:
        self.process.communicate()


class Host:
    """This thread's network namespace with a LAN, on which this host is 10.9.0.1, engines and guests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.loop = asyncio.new_event_loop()
        self.guests: list[Guest] = []
        self.databases: list[Database] = []

    def run(self, work: Awaitable[T]) -> T:
        return self.loop.run_until_complete(work)

    def network(self, name: str = "one") -> Network:
        self.databases.append(Database(self.folder / name / "engine.db"))
        root = self.folder / name
        return Network(Settings(root, root / "engine.sock"), self.databases[-1])

    def guest(self, name: str) -> Guest:
        self.guests.append(Guest(name))
        return self.guests[-1]

    def container(
        self, network: Network, name: str, **ports: list[tuple[str, str]]
    ) -> tuple[Guest, Endpoint]:
        """A guest on the engine's network: `tcp80=[("127.0.0.1", "8080")]`; it serves what it publishes."""
        wanted = {f"{key[3:]}/{key[:3]}": _places(places) for key, places in ports.items()}
        endpoint = self.run(network.connect(name, name, wanted))
        guest = self.guest(name)
        guest.plug(*network.steps(endpoint))
        for key in ports:
            guest.serve(key[:3], int(key[3:]))
        return guest, endpoint

    def neighbour(self) -> Guest:
        """Another host on the LAN: 10.9.0.2."""
        guest = self.guest("neighbour")
        cable = CreateVeth("lan1", "eth0", "lan", "02:42:0a:09:00:02", 1500)
        eth0 = ConfigureInterface("eth0", "10.9.0.2/24", "10.9.0.1")
        guest.plug((cable,), (ConfigureLoopback(), eth0))
        return guest

    def interfaces(self) -> list[str]:
        with Netlink() as channel:
            return sorted(link.name for link in channel.links() if link.kind in ("bridge", "veth"))

    def tables(self) -> str:
        return subprocess.run(["nft", "list", "tables"], check=True, capture_output=True, text=True).stdout

    def close_guests(self) -> None:
        while self.guests:
            self.guests.pop().close()

    def close(self) -> None:
        self.close_guests()
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        for database in self.databases:
            database.close()


def _places(places: list[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"HostIp": address, "HostPort": port} for address, port in places]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A host of its own, which must be as empty afterwards as it was before."""
    kernel = Kernel()
    with open("/proc/thread-self/ns/net") as home:
        kernel.unshare(CLONE_NEWNET)
        IP_FORWARD.write_text("0")
        with Netlink() as channel:
            channel.send([link_up("lo", 1), new_bridge("lan", "02:42:0a:09:00:01")])
            channel.send([new_address("lan", channel.index("lan"), "10.9.0.1/24")])
        host = Host(tmp_path)
        try:
            yield host
            host.close_guests()
            assert until(lambda: host.interfaces() == ["lan"]), host.interfaces()
            assert host.tables() == ""
            assert IP_FORWARD.read_text() == "0\n"
        finally:
            host.close()
            with Netlink() as channel:
                channel.send([delete_link("lan")])
            kernel.setns(home.fileno(), CLONE_NEWNET)


@pytest.fixture
def network(host: Host) -> Iterator[Network]:
    """An engine's network, stopped at the end with no container on it."""
    network = host.network()
    yield network
    host.run(_leave(network))


async def _leave(*networks: Network) -> None:
    for network in networks:
        for name in ("web", "other", "one", "two"):
            await network.disconnect(name)
        await network.stop()


def test_the_first_container_gets_the_second_address_and_its_mac(host: Host, network: Network) -> None:
    endpoint = host.run(network.connect("web", "web"))
    assert (endpoint.address, endpoint.prefix, endpoint.gateway) == ("172.17.0.2", 16, "172.17.0.1")
    assert endpoint.mac == "02:42:ac:11:00:02"
    assert endpoint.ports == {}


def test_containers_reach_each_other_and_the_lan_under_the_hosts_address(
    host: Host, network: Network
) -> None:
    web, _ = host.container(network, "web")
    web.serve("tcp", 7000)
    other, _ = host.container(network, "other")
    neighbour = host.neighbour()
    neighbour.serve("tcp", 80)
    assert other.ask("tcp", "172.17.0.2", 7000) == "web sees 172.17.0.3"
    assert other.ask("tcp", "10.9.0.2", 80) == "neighbour sees 10.9.0.1"


def test_a_published_port_is_reached_from_everywhere(host: Host, network: Network) -> None:
    web, endpoint = host.container(network, "web", tcp80=[("", "8080")])
    other, _ = host.container(network, "other")
    assert endpoint.ports == {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}]}
    assert ask("tcp", "127.0.0.1", 8080) == "web sees 172.17.0.1"
    assert ask("tcp", "10.9.0.1", 8080) == "web sees 10.9.0.1"
    assert host.neighbour().ask("tcp", "10.9.0.1", 8080) == "web sees 10.9.0.2"
    assert other.ask("tcp", "172.17.0.1", 8080).startswith("web sees")
    assert web.ask("tcp", "10.9.0.1", 8080) == "web sees 172.17.0.1"


def test_udp_is_published_beside_tcp(host: Host, network: Network) -> None:
    host.container(network, "web", tcp53=[("", "5353")], udp53=[("", "5353")])
    assert ask("udp", "127.0.0.1", 5353) == "web sees 172.17.0.1"
    assert ask("tcp", "127.0.0.1", 5353) == "web sees 172.17.0.1"
    assert host.neighbour().ask("udp", "10.9.0.1", 5353) == "web sees 10.9.0.2"


def test_a_port_on_127_0_0_1_is_for_this_host_only(host: Host, network: Network) -> None:
    host.container(network, "web", tcp80=[("127.0.0.1", "8080")])
    assert ask("tcp", "127.0.0.1", 8080) == "web sees 172.17.0.1"
    assert ask("tcp", "10.9.0.1", 8080) == "ConnectionRefusedError"
    assert host.neighbour().ask("tcp", "10.9.0.1", 8080) == "ConnectionRefusedError"


def test_what_is_not_published_stays_shut(host: Host, network: Network) -> None:
    web, endpoint = host.container(network, "web", tcp80=[("", "8080")])
    web.serve("tcp", 81)
    assert host.neighbour().ask("tcp", endpoint.address, 81) == "TimeoutError"


def test_a_container_does_not_reach_the_hosts_loopback(host: Host, network: Network) -> None:
    web, endpoint = host.container(network, "web", tcp80=[("127.0.0.1", "8080")])
    with socket.create_server(("127.0.0.1", 7777)):
        route = ["ip", "route", "add", "127.0.0.1/32", "via", endpoint.gateway]
        pid = str(web.process.pid)
        local = ["ip", "route", "del", "table", "local", "local", "127.0.0.1"]
        switch = ["sysctl", "-qw", "net.ipv4.conf.eth0.route_localnet=1"]
        for command in (switch, local, route):
            subprocess.run(["nsenter", "-t", pid, "-n", *command], check=False, capture_output=True)
        assert web.ask("tcp", "127.0.0.1", 7777) == "TimeoutError"
    guard = subprocess.run(
        ["nft", "list", "chain", "ip", endpoint.bridge, "guard"], check=True, capture_output=True, text=True
    )
    assert re.search(r"packets [1-9]\d* .* drop", guard.stdout)


def test_random_ports_are_free_ones_and_differ(host: Host, network: Network) -> None:
    _, endpoint = host.container(network, "web", tcp80=[("", ""), ("127.0.0.1", "0")])
    places = endpoint.ports["80/tcp"]
    assert places is not None
    first, second = (int(place["HostPort"]) for place in places)
    assert 32768 <= first < second < 61000
    assert ask("tcp", "127.0.0.1", first) == ask("tcp", "127.0.0.1", second) == "web sees 172.17.0.1"


def test_a_port_of_another_container_is_refused_and_nothing_is_held(host: Host, network: Network) -> None:
    host.run(network.connect("web", "web", {"80/tcp": _places([("", "8080")])}))
    wanted = {"80/tcp": _places([("", "9090"), ("127.0.0.1", "8080")])}
    with pytest.raises(ConflictError) as caught:
        host.run(network.connect("other", "other", wanted))
    assert caught.value.message == "Bind for 127.0.0.1:8080 failed: port is already allocated"
    endpoint = host.run(network.connect("one", "one", {"80/tcp": _places([("", "9090")])}))
    assert endpoint.address == "172.17.0.3"


def test_a_port_of_a_program_is_refused(host: Host, network: Network) -> None:
    with socket.create_server(("127.0.0.1", 8080)), pytest.raises(ConflictError) as caught:
        host.run(network.connect("web", "web", {"80/tcp": _places([("", "8080")])}))
    assert caught.value.message == "failed to bind host port for 0.0.0.0:8080: address already in use"


def test_a_published_port_cannot_be_taken_by_a_program(host: Host, network: Network) -> None:
    host.run(network.connect("web", "web", {"80/tcp": _places([("", "8080")])}))
    with pytest.raises(OSError, match="Address already in use"):
        socket.create_server(("0.0.0.0", 8080))
    host.run(network.disconnect("web"))
    socket.create_server(("0.0.0.0", 8080)).close()


def test_an_address_that_this_host_has_not_is_refused(host: Host, network: Network) -> None:
    with pytest.raises(ConflictError) as caught:
        host.run(network.connect("web", "web", {"80/tcp": _places([("10.8.8.8", "8080")])}))
    assert caught.value.message == (
        "failed to bind host port for 10.8.8.8:8080: cannot assign requested address"
    )


def test_a_bad_port_is_refused_before_anything_is_made(host: Host, network: Network) -> None:
    with pytest.raises(BadInputError):
        host.run(network.connect("web", "web", {"80/tcp": _places([("::", "8080")])}))
    assert host.interfaces() == ["lan"]


def test_a_port_is_gone_after_disconnect(host: Host, network: Network) -> None:
    host.container(network, "web", tcp80=[("", "8080")])
    assert ask("tcp", "127.0.0.1", 8080) == "web sees 172.17.0.1"
    host.run(network.disconnect("web"))
    assert ask("tcp", "127.0.0.1", 8080) == "ConnectionRefusedError"


def test_stop_leaves_what_containers_need(host: Host, network: Network) -> None:
    host.container(network, "web", tcp80=[("", "8080")])
    host.run(network.stop())
    assert ask("tcp", "127.0.0.1", 8080) == "web sees 172.17.0.1"
    assert IP_FORWARD.read_text() == "1\n"
    heir = host.network()
    host.run(heir.adopt({}))
    host.run(heir.stop())


def test_a_killed_engines_heir_takes_over_addresses_and_ports(host: Host) -> None:
    first = host.network()
    _, web = host.container(first, "web", tcp80=[("", "8080")])
    gone = host.run(first.connect("gone", "gone", {"80/tcp": _places([("", "9090")])}))
    assert gone.address == "172.17.0.3"
    first._reservations.close()  # what SIGKILL does to its sockets; all else it leaves as it is

    heir = host.network()
    host.run(heir.adopt({"web": web}))
    assert ask("tcp", "127.0.0.1", 8080) == "web sees 172.17.0.1"
    assert ask("tcp", "127.0.0.1", 9090) == "ConnectionRefusedError"
    with pytest.raises(ConflictError, match="port is already allocated"):
        host.run(heir.connect("other", "other", {"80/tcp": _places([("", "8080")])}))
    assert host.run(heir.connect("other", "other")).address == "172.17.0.3"
    host.run(_leave(heir))


def test_two_engines_have_two_subnets_and_the_last_one_puts_forwarding_back(host: Host) -> None:
    one, two = host.network("first"), host.network("second")
    _, first = host.container(one, "one", tcp80=[("", "8080")])
    _, second = host.container(two, "two", tcp80=[("", "8081")])
    assert (first.address, second.address) == ("172.17.0.2", "172.18.0.2")
    assert ask("tcp", "127.0.0.1", 8080) == "one sees 172.17.0.1"
    assert ask("tcp", "127.0.0.1", 8081) == "two sees 172.18.0.1"
    with pytest.raises(ConflictError, match="address already in use"):
        host.run(one.connect("web", "web", {"80/tcp": _places([("", "8081")])}))
    host.run(_leave(one))
    assert IP_FORWARD.read_text() == "1\n"
    assert ask("tcp", "127.0.0.1", 8081) == "two sees 172.18.0.1"
    host.run(_leave(two))


def test_forwarding_that_was_on_stays_on(host: Host, network: Network) -> None:
    IP_FORWARD.write_text("1")
    host.run(network.connect("web", "web"))
    host.run(_leave(network))
    assert IP_FORWARD.read_text() == "1\n"
    IP_FORWARD.write_text("0")


def test_a_half_made_bridge_is_made_anew(host: Host, network: Network, tmp_path: Path) -> None:
    instance = Settings(tmp_path / "one", tmp_path / "s").instance
    with Netlink() as channel:
        channel.send([new_bridge(instance, "02:42:ac:11:00:01")])
    assert host.run(network.connect("web", "web")).address == "172.17.0.2"


def test_the_subnet_avoids_the_hosts_routes(host: Host, network: Network) -> None:
    with Netlink() as channel:
        channel.send([new_address("lan", channel.index("lan"), "172.17.5.1/24")])
    assert host.run(network.connect("web", "web")).address == "172.18.0.2"


def test_describe_names_the_three_networks(host: Host, network: Network) -> None:
    host.run(network.connect("web", "web"))
    bridge, *others = network.describe()
    assert bridge["IPAM"]["Config"] == [{"Subnet": "172.17.0.0/16", "Gateway": "172.17.0.1"}]
    assert bridge["Containers"]["web"]["IPv4Address"] == "172.17.0.2/16"
    assert [one["Name"] for one in others] == ["host", "none"]
