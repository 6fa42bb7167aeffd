"""What is refused when a container is created, before anything is changed; and what is taken with a warning.

The texts that clients and scripts match on are Docker's. What this engine does not have is refused by name: a
wish that is dropped in silence is worse than an error.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator

from cutaway.container import logoptions
from cutaway.container.health import check_healthcheck
from cutaway.container.isolation import NETWORKS, check_isolation
from cutaway.container.resources import check_resources, discard_unsupported
from cutaway.container.restarting import check_policy
from cutaway.container.spec import Config, HostConfig, NetworkingConfig
from cutaway.errors import BadInputError
from cutaway.linux.capabilities import granted

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")


def check(config: Config, host: HostConfig, networking: NetworkingConfig) -> list[str]:
    """Raise BadInputError for what cannot be; return warnings for what is taken differently than asked."""
    if not config.argv or not config.argv[0]:
        raise BadInputError("no command specified", "give a command behind the image's name")
    _check_config(config)
    check_resources(host)
    check_isolation(config, host)
    logoptions.log_options(config, host)
    check_policy(host.restart_policy, auto_remove=host.auto_remove)
    _check_missing(host)
    _check_networking(networking)
    granted(tuple(host.cap_add), tuple(host.cap_drop), privileged=host.privileged)
    return [*discard_unsupported(host), *logoptions.warnings(host), *_warnings(host)]


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


def _check_missing(host: HostConfig) -> None:
    wishes = (
        ("--link", host.links),
        ("--gpus", host.device_requests),
        ("--storage-opt", host.storage_opt),
        ("--cgroup-parent", host.cgroup_parent),
    )
    for flag, value in wishes:
        if value:
            raise BadInputError(f"{flag} is not supported by this engine", "leave it out")


def _check_networking(networking: NetworkingConfig) -> None:
    for name, wishes in networking.endpoints_config.items():
        if name not in ("default", *NETWORKS):
            raise BadInputError(f"network {name} not found", "there are bridge, host and none")
        for wish in ("IPAMConfig", "Links", "Aliases"):
            if (wishes or {}).get(wish):
                raise BadInputError(
                    f"{wish} is not supported on the network {name}", "only networks made by users have it"
                )


def _warnings(host: HostConfig) -> Iterator[str]:
    if host.port_bindings and host.network_mode in ("host", "none"):
        yield f"Published ports are discarded when using {host.network_mode} network mode"
