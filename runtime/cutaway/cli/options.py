"""The flags of `run` and `create`, and the body of `POST /containers/create` that they make.

The body is Docker's: what describes the program is at the top (`Config`), what ties it to this host is under
`HostConfig`. Only what was asked for is written; the engine knows the rest.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from cutaway.cli import values
from cutaway.cli.failures import REFUSED, CommandError

Options = Mapping[str, Any]


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
    flag("--rm", "remove", about="Remove the container when it has ended."),
    one("--name", about="A name to call it by.", metavar="NAME"),
    many("-p", "--publish", about="Publish a port: [IP:][HOST]:CONTAINER[/udp].", metavar="PORT"),
    flag("-P", "--publish-all", about="Publish each exposed port on a free port of the host."),
    many("--expose", about="Say that the program listens on a port.", metavar="PORT"),
    many("-v", "--volume", kind=values.VOLUME, about="Mount: HOST:CONTAINER[:ro].", metavar="MOUNT"),
    many("--volumes-from", about="Mount what another container mounts.", metavar="CONTAINER"),
    many("--tmpfs", about="Mount a folder that lives in memory: PATH[:options].", metavar="PATH"),
    many("-e", "--env", about="Set an environment variable.", metavar="NAME=VALUE"),
    many("--env-file", about="Read environment variables from a file.", metavar="FILE"),
    one("-w", "--workdir", about="The folder that the program starts in.", metavar="PATH"),
    one("-u", "--user", about="Who the program runs as: USER[:GROUP].", metavar="USER"),
    many("--group-add", about="A further group of the user.", metavar="GROUP"),
    one("--entrypoint", about="The program, instead of the image's own.", metavar="PROGRAM"),
    many("-l", "--label", about="Attach a label.", metavar="NAME=VALUE"),
    one("-h", "--hostname", about="The name that the container has for itself.", metavar="NAME"),
    one("--domainname", about="The domain that it believes to be in.", metavar="NAME"),
    one("--network", "--net", about="bridge, host, none, or the name of a network.", metavar="NETWORK"),
    many("--network-alias", about="A further name in the network.", metavar="NAME"),
    many("--link", about="Reach another container by name: CONTAINER[:ALIAS].", metavar="LINK"),
    many("--dns", about="Ask this name server.", metavar="ADDRESS"),
    many("--dns-search", about="Complete names with this domain.", metavar="DOMAIN"),
    many("--add-host", about="A line for /etc/hosts: NAME:ADDRESS.", metavar="HOST"),
    one("-m", "--memory", kind=values.SIZE, about="At most this much memory: 64m, 1g.", metavar="BYTES"),
    one("--memory-swap", kind=values.SWAP, about="Memory and swap; -1: no limit.", metavar="BYTES"),
    one("--memory-reservation", kind=values.SIZE, about="Left to it when memory is short.", metavar="BYTES"),
    one("--cpus", kind=values.CPUS, about="At most this many processors: 0.5.", metavar="NUMBER"),
    one("-c", "--cpu-shares", kind=int, about="Its share when they are short: 1024.", metavar="N"),
    one("--cpuset-cpus", about="Only these processors: 0-1, 3.", metavar="CPUS"),
    one("--pids-limit", kind=int, about="At most this many processes.", metavar="N"),
    one("--shm-size", kind=values.SIZE, about="The size of /dev/shm.", metavar="BYTES"),
    many("--ulimit", about="A limit of the process: nofile=1024:2048.", metavar="LIMIT"),
    many("--sysctl", about="A kernel setting of its namespaces.", metavar="NAME=VALUE"),
    many("--device", about="A device of the host: HOST[:CONTAINER[:rwm]].", metavar="DEVICE"),
    flag("--read-only", about="Forbid writing to the root file system."),
    many("--cap-add", about="Give a capability: NET_ADMIN, ALL.", metavar="NAME"),
    many("--cap-drop", about="Take a capability away.", metavar="NAME"),
    many("--security-opt", about="no-new-privileges, seccomp=unconfined, ….", metavar="OPTION"),
    flag("--privileged", about="Give every capability and every device."),
    flag("--init", about="Put a small init before the program."),
    one("--pid", about="host, or container:NAME, to share processes.", metavar="MODE"),
    one("--ipc", about="private, host, container:NAME, to share memory.", metavar="MODE"),
    one("--uts", about="host, to share the host's name.", metavar="MODE"),
    one("--restart", about="no, always, on-failure[:N], unless-stopped.", metavar="POLICY"),
    one("--stop-signal", about="What `stop` sends first.", metavar="SIGNAL"),
    one("--stop-timeout", kind=int, about="Seconds that `stop` waits.", metavar="SECONDS"),
    click.option(
        "--pull", type=click.Choice(["missing", "always", "never"]), default="missing", metavar="WHEN",
        help="Get the image: missing (the default), always, never.",
    ),
    flag("-q", "--quiet", about="Show no progress while getting the image."),
    one("--platform", about="The image's platform: linux/amd64.", metavar="PLATFORM"),
)  # fmt: skip


def container_options(function: Any) -> Any:
    """Declare what `run` and `create` share; the function gets all of it as keywords."""
    for option in reversed(_FLAGS):
        function = option(function)
    return function


def create_body(image: str, words: Sequence[str], options: Options, *, attached: bool) -> dict[str, Any]:
    """The body of `POST /containers/create`. `attached`: the client will take part in input and output.

    Raises CommandError with exit code 125 for a value that is wrong.
    """
    try:
        return _without_absent(_config(image, words, options, attached)) | {
            "HostConfig": _without_absent(_host_config(options)),
            "NetworkingConfig": _networking(options),
        }
    except ValueError as error:
        raise CommandError(str(error), "see `run --help`", exit_code=REFUSED) from error


def _config(image: str, words: Sequence[str], options: Options, attached: bool) -> dict[str, Any]:
    entrypoint = options["entrypoint"]
    bindings = values.port_bindings(options["publish"])
    return {
        "Image": image,
        "Cmd": list(words) or None,
        "Entrypoint": None if entrypoint is None else [entrypoint],
        "Tty": options["tty"],
        "OpenStdin": options["interactive"],
        "StdinOnce": options["interactive"] and attached,
        "AttachStdin": options["interactive"] and attached,
        "AttachStdout": attached,
        "AttachStderr": attached,
        "Env": values.variables(options["env"], options["env_file"], os.environ) or None,
        "WorkingDir": options["workdir"],
        "User": options["user"],
        "Labels": values.labels(options["label"]) or None,
        "Hostname": options["hostname"],
        "Domainname": options["domainname"],
        "ExposedPorts": values.exposed(options["expose"]) | {port: {} for port in bindings} or None,
        "Volumes": {target: {} for name, target in options["volume"] if not name} or None,
        "StopSignal": options["stop_signal"],
        "StopTimeout": options["stop_timeout"],
    }


def _host_config(options: Options) -> dict[str, Any]:
    return {
        "AutoRemove": options["remove"],
        "PortBindings": values.port_bindings(options["publish"]) or None,
        "PublishAllPorts": options["publish_all"],
        "Binds": [bind for target, bind in options["volume"] if target] or None,
        "VolumesFrom": _list(options["volumes_from"]),
        "Tmpfs": {path: rest for path, _, rest in (text.partition(":") for text in options["tmpfs"])} or None,
        "GroupAdd": _list(options["group_add"]),
        "NetworkMode": options["network"],
        "Links": _list(options["link"]),
        "Dns": _list(options["dns"]),
        "DnsSearch": _list(options["dns_search"]),
        "ExtraHosts": _list(options["add_host"]),
        "Memory": options["memory"],
        "MemorySwap": options["memory_swap"],
        "MemoryReservation": options["memory_reservation"],
        "NanoCpus": options["cpus"],
        "CpuShares": options["cpu_shares"],
        "CpusetCpus": options["cpuset_cpus"],
        "PidsLimit": options["pids_limit"],
        "ShmSize": options["shm_size"],
        "Ulimits": [_ulimit(text) for text in options["ulimit"]] or None,
        "Sysctls": values.labels(options["sysctl"]) or None,
        "Devices": [_device(text) for text in options["device"]] or None,
        "ReadonlyRootfs": options["read_only"],
        "CapAdd": _list(options["cap_add"]),
        "CapDrop": _list(options["cap_drop"]),
        "SecurityOpt": _list(options["security_opt"]),
        "Privileged": options["privileged"],
        "Init": options["init"],
        "PidMode": options["pid"],
        "IpcMode": options["ipc"],
        "UTSMode": options["uts"],
        "RestartPolicy": _restart(options["restart"], remove=options["remove"]),
    }


def _networking(options: Options) -> dict[str, Any]:
    if not options["network_alias"]:
        return {}
    return {"EndpointsConfig": {options["network"] or "bridge": {"Aliases": list(options["network_alias"])}}}


def _restart(policy: str | None, *, remove: bool) -> dict[str, Any] | None:
    if policy is None:
        return None
    name, _, count = policy.partition(":")
    if remove and name != "no":
        raise ValueError("conflicting options: cannot specify both --restart and --rm")
    if count and not count.isdigit():
        raise ValueError("invalid restart policy format: maximum retry count must be an integer")
    return {"Name": name, "MaximumRetryCount": int(count or 0)}


def _ulimit(text: str) -> dict[str, Any]:
    name, equals, limits = text.partition("=")
    soft, _, hard = limits.partition(":")
    try:
        if equals:
            return {"Name": name, "Soft": int(soft), "Hard": int(hard or soft)}
    except ValueError:
        pass
    raise ValueError(f"invalid ulimit argument: {text}")


def _device(text: str) -> dict[str, str]:
    parts = text.split(":")
    if len(parts) == 2 and set(parts[1]) <= set("rwm"):
        parts = [parts[0], parts[0], parts[1]]
    host, inside, rights = [*parts, "", ""][:3]
    return {"PathOnHost": host, "PathInContainer": inside or host, "CgroupPermissions": rights or "rwm"}


def _list(items: Sequence[str]) -> list[str] | None:
    return list(items) or None


def _without_absent(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None and value is not False}
