"""The flags that `run` and `create` share: names, values and what `--help` says of them.

What becomes of them is in `options`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from cutaway.cli import values
from cutaway.cli.mounts import mount

MOUNT = values.Value("mount", mount)


def flag(*names: str, about: str) -> Callable[[Any], Any]:
    """A flag without a value."""
    return click.option(*names, is_flag=True, help=about)


def one(*names: str, about: str, kind: Any = str, metavar: str | None = None) -> Callable[[Any], Any]:
    """A flag with one value; None when it is not given."""
    return click.option(*names, type=kind, help=about, metavar=metavar)


def many(*names: str, about: str, kind: Any = str, metavar: str | None = None) -> Callable[[Any], Any]:
    """A flag that may be given more than once."""
    return click.option(*names, type=kind, multiple=True, help=about, metavar=metavar)


_FLAGS = (
    flag("-i", "--interactive", about="Keep standard input open."),
    flag("-t", "--tty", about="Give the program a terminal."),
    many("-a", "--attach", kind=values.STREAM, about="Take part in this only: stdout.", metavar="STREAM"),
    flag("--rm", "remove", about="Remove the container when it has ended."),
    one("--name", about="A name to call it by.", metavar="NAME"),
    many("-p", "--publish", about="Publish a port: [IP:][HOST]:CONTAINER[/udp].", metavar="PORT"),
    flag("-P", "--publish-all", about="Publish each exposed port on a free port of the host."),
    many("--expose", about="Say that the program listens on a port.", metavar="PORT"),
    many("-v", "--volume", kind=values.VOLUME, about="Mount: HOST:CONTAINER[:ro].", metavar="MOUNT"),
    many("--volumes-from", about="Mount what another container mounts.", metavar="CONTAINER"),
    many("--tmpfs", about="Mount a folder that lives in memory: PATH[:options].", metavar="PATH"),
    many("--mount", kind=MOUNT, about="Mount: type=bind,source=…,target=…,readonly.", metavar="MOUNT"),
    one("--volume-driver", about="Who makes volumes: local.", metavar="DRIVER"),
    many("-e", "--env", about="Set an environment variable.", metavar="NAME=VALUE"),
    many("--env-file", about="Read environment variables from a file.", metavar="FILE"),
    one("-w", "--workdir", about="The folder that the program starts in.", metavar="PATH"),
    one("-u", "--user", about="Who the program runs as: USER[:GROUP].", metavar="USER"),
    many("--group-add", about="A further group of the user.", metavar="GROUP"),
    one("--entrypoint", about="The program, instead of the image's own.", metavar="PROGRAM"),
    many("-l", "--label", about="Attach a label.", metavar="NAME=VALUE"),
    many("--label-file", about="Read labels from a file.", metavar="FILE"),
    many("--annotation", about="Attach an annotation, for tools.", metavar="NAME=VALUE"),
    one("-h", "--hostname", about="The name that the container has for itself.", metavar="NAME"),
    one("--domainname", about="The domain that it believes to be in.", metavar="NAME"),
    one("--network", "--net", about="bridge, host, none, or the name of a network.", metavar="NETWORK"),
    many("--network-alias", about="A further name in the network.", metavar="NAME"),
    many("--link", about="Reach another container by name: CONTAINER[:ALIAS].", metavar="LINK"),
    many("--dns", about="Ask this name server.", metavar="ADDRESS"),
    many("--dns-search", about="Complete names with this domain.", metavar="DOMAIN"),
    many("--dns-option", "--dns-opt", about="An option of resolv.conf: ndots:2.", metavar="OPTION"),
    one("--mac-address", about="The hardware address of eth0.", metavar="ADDRESS"),
    one("--ip", about="Its address, in a network that users made.", metavar="ADDRESS"),
    many("--add-host", about="A line for /etc/hosts: NAME:ADDRESS, NAME:host-gateway.", metavar="HOST"),
    one("-m", "--memory", kind=values.SIZE, about="At most this much memory: 64m, 1g.", metavar="BYTES"),
    one("--memory-swap", kind=values.SWAP, about="Memory and swap; -1: no limit.", metavar="BYTES"),
    one("--memory-reservation", kind=values.SIZE, about="Left to it when memory is short.", metavar="BYTES"),
    one("--memory-swappiness", kind=int, about="How readily it is swapped out, 0 to 100.", metavar="N"),
    one("--kernel-memory", kind=values.SIZE, about="Gone from Linux; refused.", metavar="BYTES"),
    flag("--oom-kill-disable", about="Wait instead of being killed when memory runs out."),
    one("--oom-score-adj", kind=int, about="-1000 is killed last, 1000 first.", metavar="N"),
    one("--cpus", kind=values.CPUS, about="At most this many processors: 0.5.", metavar="NUMBER"),
    one("-c", "--cpu-shares", kind=int, about="Its share when they are short: 1024.", metavar="N"),
    one("--cpu-period", kind=int, about="The span that --cpu-quota counts in.", metavar="MICROSECONDS"),
    one("--cpu-quota", kind=int, about="Processor time in each period.", metavar="MICROSECONDS"),
    one("--cpu-rt-period", kind=int, about="The same for real-time tasks.", metavar="MICROSECONDS"),
    one("--cpu-rt-runtime", kind=int, about="The same for real-time tasks.", metavar="MICROSECONDS"),
    one("--cpuset-cpus", about="Only these processors: 0-1, 3.", metavar="CPUS"),
    one("--cpuset-mems", about="Only the memory of these nodes: 0.", metavar="NODES"),
    one("--blkio-weight", kind=int, about="Its share of the disks, 10 to 1000.", metavar="N"),
    many("--blkio-weight-device", kind=values.WEIGHT, about="Of one disk: /dev/sda:500.", metavar="DEVICE"),
    many("--device-read-bps", kind=values.RATE_BYTES, about="Read at most: /dev/sda:1mb.", metavar="DEVICE"),
    many("--device-write-bps", kind=values.RATE_BYTES, about="Write at most.", metavar="DEVICE"),
    many("--device-read-iops", kind=values.RATE, about="Reads a second: /dev/sda:100.", metavar="DEVICE"),
    many("--device-write-iops", kind=values.RATE, about="Writes a second.", metavar="DEVICE"),
    one("--pids-limit", kind=int, about="At most this many processes.", metavar="N"),
    one("--shm-size", kind=values.SIZE, about="The size of /dev/shm.", metavar="BYTES"),
    many("--ulimit", about="A limit of the process: nofile=1024:2048.", metavar="LIMIT"),
    many("--sysctl", about="A kernel setting of its namespaces.", metavar="NAME=VALUE"),
    many("--device", about="A device of the host: HOST[:CONTAINER[:rwm]].", metavar="DEVICE"),
    many("--device-cgroup-rule", about="Devices that may be opened: c 10:229 rwm.", metavar="RULE"),
    one("--gpus", about="Graphics processors; refused.", metavar="GPUS"),
    many("--storage-opt", about="An option of the storage; refused.", metavar="OPTION"),
    flag("--read-only", about="Forbid writing to the root file system."),
    many("--cap-add", about="Give a capability: NET_ADMIN, ALL.", metavar="NAME"),
    many("--cap-drop", about="Take a capability away.", metavar="NAME"),
    many("--security-opt", about="no-new-privileges, seccomp=FILE, seccomp=unconfined.", metavar="OPTION"),
    flag("--privileged", about="Give every capability and every device."),
    flag("--init", about="Put a small init before the program."),
    one("--pid", about="host, or container:NAME, to share processes.", metavar="MODE"),
    one("--ipc", about="private, host, container:NAME, to share memory.", metavar="MODE"),
    one("--uts", about="host, to share the host's name.", metavar="MODE"),
    one("--userns", about="host; user ids are the host's.", metavar="MODE"),
    one("--cgroupns", about="private, host: whether it sees the host's control groups.", metavar="MODE"),
    one("--cgroup-parent", about="The control group to make its own in.", metavar="GROUP"),
    one("--runtime", about="cutaway; there is one.", metavar="NAME"),
    one("--isolation", about="default; for other systems.", metavar="NAME"),
    one("--log-driver", about="json-file, local, none.", metavar="NAME"),
    many("--log-opt", about="max-size=10m, max-file=3.", metavar="NAME=VALUE"),
    one("--health-cmd", about="Run this now and then: does it work?", metavar="COMMAND"),
    one("--health-interval", kind=values.NANOSECONDS, about="Time between checks: 30s.", metavar="TIME"),
    one("--health-timeout", kind=values.NANOSECONDS, about="A longer check fails.", metavar="TIME"),
    one("--health-retries", kind=int, about="Failures in a row that make it unhealthy.", metavar="N"),
    one("--health-start-period", kind=values.NANOSECONDS, about="Failures do not count yet.", metavar="TIME"),
    one("--health-start-interval", kind=values.NANOSECONDS, about="Between checks then.", metavar="TIME"),
    flag("--no-healthcheck", about="Do not run the image's check."),
    one("--restart", about="no, always, on-failure[:N], unless-stopped.", metavar="POLICY"),
    one("--stop-signal", about="What `stop` sends first.", metavar="SIGNAL"),
    one("--stop-timeout", kind=int, about="Seconds that `stop` waits.", metavar="SECONDS"),
    click.option(
        "--pull", type=click.Choice(["missing", "always", "never"]), default="missing", metavar="WHEN",
        help="Get the image: missing (the default), always, never.",
    ),
    flag("-q", "--quiet", about="Show no progress while getting the image."),
    one("--platform", about="The image's platform: linux/amd64.", metavar="PLATFORM"),
    click.option("--disable-content-trust/--no-disable-content-trust", default=True, hidden=True),
)  # fmt: skip


def container_options(function: Any) -> Any:
    """Declare what `run` and `create` share; the function gets all of it as keywords."""
    for option in reversed(_FLAGS):
        function = option(function)
    return function
