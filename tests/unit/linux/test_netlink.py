"""What the network's steps say to the kernel, read from a line that only writes it down."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Sequence

import pytest

from cutaway.linux.kernel import Kernel
from cutaway.linux.netlink import (
    RTM_GETLINK,
    ConfigureInterface,
    ConfigureLoopback,
    CreateVeth,
    Message,
    Netlink,
    Route,
    attribute,
    attributes,
    default_route,
    delete_link,
    hardware_address,
)
from cutaway.linux.step import Context, Step, step_from_json

VETH = CreateVeth("ca0123456789", "eth0", "cutaway0", "02:42:ac:11:00:02", 1500)


class Written:
    """A channel that keeps the words of what it is told."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def send(self, messages: Sequence[Message]) -> None:
        self.words += [message.text for message in messages]

    def index(self, name: str) -> int:
        return 7

    def close(self) -> None:
        self.words.append("close")


class WritingKernel(Kernel):
    """A kernel whose netlink is a `Written`."""

    def __init__(self) -> None:
        self.channel = Written()

    def netlink(self) -> Written:
        return self.channel


def said(step: Step) -> list[str]:
    kernel = WritingKernel()
    step.execute(Context(kernel, pid=42))
    return kernel.channel.words


def test_create_veth_says_one_message() -> None:
    assert said(VETH) == [
        "RTM_NEWLINK veth ca0123456789 master cutaway0 up, peer eth0 address 02:42:ac:11:00:02 netns 42",
        "close",
    ]


def test_a_published_port_asks_for_hairpin() -> None:
    step = CreateVeth("ca0123456789", "eth0", "cutaway0", "02:42:ac:11:00:02", 1500, hairpin=True)
    assert said(step)[1] == "RTM_NEWLINK ca0123456789 hairpin on"


def test_configure_interface_brings_it_up_before_the_route() -> None:
    assert said(ConfigureInterface("eth0", "172.17.0.2/16", "172.17.0.1")) == [
        "RTM_NEWLINK eth0 up",
        "RTM_NEWADDR 172.17.0.2/16 dev eth0",
        "RTM_NEWROUTE default via 172.17.0.1",
        "close",
    ]


def test_configure_loopback_brings_lo_up() -> None:
    assert said(ConfigureLoopback()) == ["RTM_NEWLINK lo up", "close"]


@pytest.mark.parametrize(
    ("step", "sentence"),
    [
        (VETH, "connect a veth pair: ca0123456789 on the bridge cutaway0, eth0 in the container"),
        (ConfigureLoopback(), "bring up lo with 127.0.0.1"),
        (
            ConfigureInterface("eth0", "172.17.0.2/16", "172.17.0.1"),
            "give eth0 the address 172.17.0.2/16 and a default route via 172.17.0.1",
        ),
    ],
)
def test_each_step_reads_as_a_sentence_and_travels_as_json(step: Step, sentence: str) -> None:
    assert step.describe() == sentence
    assert step_from_json(step.to_json()) == step


def test_attributes_are_padded_to_four_bytes() -> None:
    assert attribute(3, "lo") == struct.pack("=HH", 7, 3) + b"lo\0\0"
    assert attributes(attribute(3, "lo") + attribute(4, 1500)) == {3: b"lo\0", 4: struct.pack("=I", 1500)}


def test_attributes_that_are_cut_short_end_the_list() -> None:
    assert attributes(attribute(3, "lo") + b"\0\0\0\0\0") == {3: b"lo\0"}


def test_a_default_route_carries_the_gateway() -> None:
    assert attributes(default_route("172.17.0.1").body[12:]) == {5: bytes([172, 17, 0, 1])}


def test_a_hardware_address_is_six_bytes() -> None:
    assert hardware_address("02:42:ac:11:00:02") == bytes([2, 0x42, 172, 17, 0, 2])


def test_links_and_routes_of_this_machine_can_be_listed() -> None:
    with Netlink() as channel:
        assert [link.index for link in channel.links() if link.name == "lo"] == [1]
        assert channel.index("lo") == 1
        assert all(isinstance(route, Route) for route in channel.routes())


def test_a_refusal_names_errno_reason_and_message() -> None:
    with Netlink() as channel, pytest.raises(OSError, match="RTM_DELLINK not-there") as caught:
        channel.send([delete_link("not-there")])
    # an unprivileged user is not told that there is none
    assert caught.value.errno == (errno.ENODEV if os.geteuid() == 0 else errno.EPERM)
    assert caught.value.filename == "RTM_DELLINK not-there"


def test_a_dump_that_the_kernel_refuses_raises() -> None:
    with Netlink() as channel, pytest.raises(OSError, match="dump"):
        list(channel.dump(RTM_GETLINK | 0x0F00, b""))


def test_an_interface_that_is_not_there_has_no_index() -> None:
    with Netlink() as channel, pytest.raises(OSError, match="no interface"):
        channel.index("not-there")
