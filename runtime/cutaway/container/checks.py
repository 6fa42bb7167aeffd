"""What is refused when a container is created, before anything is changed; and what is taken with a warning.

The texts that clients and scripts match on are Docker's. What this engine does not have is refused by name: a
wish that is dropped in silence is worse than an error.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator

from cutaway.container.health import check_healthcheck
from cutaway.container.restarting import check_policy
from cutaway.container.spec import Config, HostConfig, NetworkingConfig
from cutaway.errors import BadInputError
from cutaway.linux.capabilities import granted
from cutaway.linux.rlimits import limit_number

MINIMUM_MEMORY = 6 * 1024 * 1024
NETWORKS = ("bridge", "none", "host")
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")


def check(config: Config, host: HostConfig, networking: NetworkingConfig) -> list[str]:
    """Raise BadInputError for what cannot be; return warnings for what is taken differently than asked."""
    if not config.argv or not config.argv[0]:
        raise BadInputError("no command specified", "give a command behind the image's name")
    _check_config(config)
    _check_resources(host)
    _check_modes(host)
    _check_missing(config, host)
    _check_networking(networking)
    granted(tuple(host.cap_add), tuple(host.cap_drop), privileged=host.privileged)
    return list(_warnings(config, host))


def check_name(name: str) -> str:
    """A container's name without its slash. Raises BadInputError in Docker's words."""
    bare = name.removeprefix("/")
    if not _NAME.fullmatch(bare):
        raise BadInputError(
            f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
            "letters, digits and _ . - only, at least two, and the first a letter or digit",
        )
    return bare


def signal_number(text: str, default: signal.Signals = signal.SIGTERM) -> int:
    """`KILL`, `SIGKILL`, `9` -> 9; empty is the default. Raises BadInputError in Docker's words."""
    if not text:
        return int(default)
    if text.isdigit():
        if 1 <= int(text) <= 64:
            return int(text)
    else:
        name = "SIG" + text.upper().removeprefix("SIG")
        if name in signal.Signals.__members__:
            return int(signal.Signals[name])
    raise BadInputError(f"Invalid signal: {text}", "kill -l lists the names")


def _check_config(config: Config) -> None:
    signal_number(config.stop_signal)
    check_healthcheck(config.healthcheck)
    if config.working_dir and not config.working_dir.startswith("/"):
        raise BadInputError(
            f"the working directory '{config.working_dir}' is invalid, it needs to be an absolute path",
            "begin it with a slash",
        )
    if len(config.hostname) > 63 or re.search(r"[^a-zA-Z0-9_.-]", config.hostname):
        raise BadInputError(
            f"invalid hostname format: {config.hostname}", "letters, digits, - and . only, at most 63"
        )
    for variable in config.env:
        if variable.startswith("=") or "\0" in variable:
            raise BadInputError(f"invalid environment variable: {variable!r}", "write NAME=value")


def _check_resources(host: HostConfig) -> None:
    if 0 < host.memory < MINIMUM_MEMORY:
        raise BadInputError("Minimum memory limit allowed is 6MB", "ask for more, such as --memory 16m")
    if host.memory < 0 or host.nano_cpus < 0 or host.shm_size < 0:
        raise BadInputError("a limit cannot be negative", "leave it out for no limit")
    if host.memory_swap > 0 and not host.memory:
        raise BadInputError("You should always set the Memory limit when using Memoryswap limit, see usage")
    if 0 < host.memory_swap < host.memory:
        raise BadInputError("Minimum memoryswap limit should be larger than memory limit, see usage")
    if host.nano_cpus and (host.cpu_quota or host.cpu_period):
        raise BadInputError("Conflicting options: Nano CPUs and CPU Quota cannot both be set.")
    cpus = os.cpu_count() or 1
    if host.nano_cpus and not 10_000_000 <= host.nano_cpus <= cpus * 1_000_000_000:
        raise BadInputError(
            f"range of CPUs is from 0.01 to {cpus}.00, as there are only {cpus} CPUs available",
            f"this machine has {cpus}",
        )
    for limit in host.ulimits:
        limit_number(limit.name)
        if limit.hard >= 0 and (limit.soft > limit.hard or limit.soft < 0):
            raise BadInputError(
                f"ulimit soft limit must be less than or equal to hard limit: {limit.soft} > {limit.hard}"
            )


def _check_modes(host: HostConfig) -> None:
    modes = (
        ("--network", host.network_mode, ("", "default", *NETWORKS)),
        ("--pid", host.pid_mode, ("", "host")),
        ("--ipc", host.ipc_mode, ("", "private", "shareable", "host")),
        ("--uts", host.uts_mode, ("", "host")),
        ("--userns", host.userns_mode, ("", "host")),
        ("--cgroupns", host.cgroupns_mode, ("", "private", "host")),
        ("--log-driver", host.log_config.type, ("", "json-file", "none")),
        ("--volume-driver", host.volume_driver, ("", "local")),
        ("--runtime", host.runtime, ("", "cutaway", "runc")),
    )
    for flag, value, known in modes:
        if value not in known:
            choices = ", ".join(choice for choice in known if choice)
            raise BadInputError(f"{flag} {value} is not supported", f"this engine knows {choices}")
    for option in host.security_opt:
        if re.split("[=:]", option)[0] not in ("no-new-privileges", "label") and option not in (
            "seccomp=unconfined",
            "seccomp:unconfined",
            "apparmor=unconfined",
            "apparmor:unconfined",
        ):
            raise BadInputError(
                f"--security-opt {option} is not supported",
                "this engine knows seccomp=unconfined, no-new-privileges",
            )
    check_policy(host.restart_policy, auto_remove=host.auto_remove)


def _check_missing(config: Config, host: HostConfig) -> None:
    wishes = (
        ("--volumes-from", host.volumes_from),
        ("--link", host.links),
        ("--sysctl", host.sysctls),
        ("--device", host.devices),
        ("--gpus", host.device_requests),
        ("--device-cgroup-rule", host.device_cgroup_rules),
        ("--storage-opt", host.storage_opt),
        ("--init", host.init),
        ("--oom-kill-disable", host.oom_kill_disable),
        ("--memory-swappiness", host.memory_swappiness >= 0),
        ("--blkio-weight", host.blkio_weight),
        ("--cgroup-parent", host.cgroup_parent),
        ("--mac-address", config.mac_address),
    )
    for flag, value in wishes:
        if value:
            raise BadInputError(f"{flag} is not supported by this engine", "leave it out")


def _check_networking(networking: NetworkingConfig) -> None:
    for name, wishes in networking.endpoints_config.items():
        if name not in ("default", *NETWORKS):
            raise BadInputError(f"network {name} not found", "there are bridge, host and none")
        for wish in ("IPAMConfig", "Links", "Aliases", "MacAddress"):
            if (wishes or {}).get(wish):
                raise BadInputError(
                    f"{wish} is not supported on the network {name}", "only networks made by users have it"
                )


def _warnings(config: Config, host: HostConfig) -> Iterator[str]:
    if host.log_config.config:
        yield "Log options are not supported: the log is kept whole."
    if host.port_bindings and host.network_mode in ("host", "none"):
        yield f"Published ports are discarded when using {host.network_mode} network mode"
    if host.privileged:
        yield "Privileged: all capabilities and no filters, but the host's device nodes are not made."
