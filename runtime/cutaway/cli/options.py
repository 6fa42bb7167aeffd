"""From the flags of `run` and `create` to the body of `POST /containers/create`.

The body is Docker's: what describes the program is at the top (`Config`), what ties it to this host is under
`HostConfig`. Only what was asked for is written; the engine knows the rest.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cutaway.cli import values
from cutaway.cli.failures import REFUSED, CommandError

Options = Mapping[str, Any]


def attached_streams(options: Options) -> frozenset[str]:
    """Which of stdin, stdout and stderr the client will take part in: of `-a`, `-i` and `-d`."""
    if options.get("detach"):
        if options["attach"]:
            raise CommandError(
                "conflicting options: cannot specify both --attach and --detach", exit_code=REFUSED
            )
        return frozenset()
    usual = ("stdin", "stdout", "stderr") if options["interactive"] else ("stdout", "stderr")
    return frozenset(options["attach"] or usual)


def create_body(image: str, words: Sequence[str], options: Options) -> dict[str, Any]:
    """The body of `POST /containers/create`.

    Raises CommandError with exit code 125 for a value that is wrong.
    """
    try:
        return _without_absent(_config(image, words, options)) | {
            "HostConfig": _without_absent(_host_config(options)),
            "NetworkingConfig": _networking(options),
        }
    except ValueError as error:
        raise CommandError(str(error), "see `run --help`", exit_code=REFUSED) from error


def _config(image: str, words: Sequence[str], options: Options) -> dict[str, Any]:
    attached = attached_streams(options)
    entrypoint = options["entrypoint"]
    bindings = values.port_bindings(options["publish"])
    return {
        "Image": image,
        "Cmd": list(words) or None,
        "Entrypoint": None if entrypoint is None else [entrypoint],
        "Tty": options["tty"],
        "OpenStdin": options["interactive"],
        "StdinOnce": options["interactive"] and "stdin" in attached,
        "AttachStdin": "stdin" in attached,
        "AttachStdout": "stdout" in attached,
        "AttachStderr": "stderr" in attached,
        "Env": values.variables(options["env"], options["env_file"], os.environ) or None,
        "WorkingDir": options["workdir"],
        "User": options["user"],
        "Labels": values.labels(values.lines_of(options["label_file"], "label"))
        | values.labels(options["label"])
        or None,
        "Hostname": options["hostname"],
        "Domainname": options["domainname"],
        "ExposedPorts": values.exposed(options["expose"]) | {port: {} for port in bindings} or None,
        "Volumes": {target: {} for name, target in options["volume"] if not name} or None,
        "StopSignal": options["stop_signal"],
        "StopTimeout": options["stop_timeout"],
        "MacAddress": options["mac_address"],
        "Healthcheck": _healthcheck(options),
    }


def _host_config(options: Options) -> dict[str, Any]:
    return {
        "AutoRemove": options["remove"],
        "PortBindings": values.port_bindings(options["publish"]) or None,
        "PublishAllPorts": options["publish_all"],
        "Init": options["init"],
        "RestartPolicy": restart_policy(options["restart"], remove=options["remove"]),
        "LogConfig": _log_config(options),
        "Runtime": options["runtime"],
        "Isolation": options["isolation"],
        "Annotations": values.labels(options["annotation"]) or None,
        "StorageOpt": values.labels(options["storage_opt"]) or None,
        **_mounts(options),
        **_names(options),
        **resources(options),
        **_rights(options),
    }


def _mounts(options: Options) -> dict[str, Any]:
    return {
        "Binds": [bind for target, bind in options["volume"] if target] or None,
        "Mounts": _list(options["mount"]),
        "VolumesFrom": _list(options["volumes_from"]),
        "VolumeDriver": options["volume_driver"],
        "Tmpfs": {path: rest for path, _, rest in (text.partition(":") for text in options["tmpfs"])} or None,
        "ShmSize": options["shm_size"],
        "ReadonlyRootfs": options["read_only"],
    }


def _names(options: Options) -> dict[str, Any]:
    return {
        "NetworkMode": options["network"],
        "Links": _list(options["link"]),
        "Dns": _list(options["dns"]),
        "DnsSearch": _list(options["dns_search"]),
        "DnsOptions": _list(options["dns_option"]),
        "ExtraHosts": [values.extra_host(text) for text in options["add_host"]] or None,
        "PidMode": options["pid"],
        "IpcMode": options["ipc"],
        "UTSMode": options["uts"],
        "UsernsMode": options["userns"],
        "CgroupnsMode": options["cgroupns"],
        "CgroupParent": options["cgroup_parent"],
    }


def resources(options: Options) -> dict[str, Any]:
    """The limits that `run`, `create` and `update` know; what a command has no flag for is left out."""
    return {name: options[flag] for name, flag in _RESOURCES.items() if flag in options} | {
        name: _list(options[flag]) for name, flag in _DEVICE_RESOURCES.items() if flag in options
    }


_RESOURCES = {
    "Memory": "memory",
    "MemorySwap": "memory_swap",
    "MemoryReservation": "memory_reservation",
    "MemorySwappiness": "memory_swappiness",
    "KernelMemory": "kernel_memory",
    "OomKillDisable": "oom_kill_disable",
    "OomScoreAdj": "oom_score_adj",
    "NanoCpus": "cpus",
    "CpuShares": "cpu_shares",
    "CpuPeriod": "cpu_period",
    "CpuQuota": "cpu_quota",
    "CpuRealtimePeriod": "cpu_rt_period",
    "CpuRealtimeRuntime": "cpu_rt_runtime",
    "CpusetCpus": "cpuset_cpus",
    "CpusetMems": "cpuset_mems",
    "PidsLimit": "pids_limit",
    "BlkioWeight": "blkio_weight",
}
_DEVICE_RESOURCES = {
    "BlkioWeightDevice": "blkio_weight_device",
    "BlkioDeviceReadBps": "device_read_bps",
    "BlkioDeviceWriteBps": "device_write_bps",
    "BlkioDeviceReadIOps": "device_read_iops",
    "BlkioDeviceWriteIOps": "device_write_iops",
}


def _rights(options: Options) -> dict[str, Any]:
    security, paths = _security(options["security_opt"])
    return {
        "GroupAdd": _list(options["group_add"]),
        "CapAdd": _list(options["cap_add"]),
        "CapDrop": _list(options["cap_drop"]),
        "Privileged": options["privileged"],
        "SecurityOpt": _list(security),
        "Ulimits": [_ulimit(text) for text in options["ulimit"]] or None,
        "Sysctls": values.labels(options["sysctl"]) or None,
        "Devices": [_device(text) for text in options["device"]] or None,
        "DeviceCgroupRules": _list(options["device_cgroup_rule"]),
        "DeviceRequests": [{"Count": -1, "Capabilities": [["gpu"]]}] if options["gpus"] else None,
        **paths,
    }


def _security(texts: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """A profile's file is read here, where it is; `systempaths=unconfined` is two other fields."""
    options: list[str] = []
    paths: dict[str, Any] = {}
    for text in texts:
        name, separator, value = text.partition("=" if "=" in text else ":")
        if name == "systempaths" and value == "unconfined":
            paths = {"MaskedPaths": [], "ReadonlyPaths": []}
        elif name == "seccomp" and separator and value not in ("unconfined", "builtin"):
            try:
                profile = json.loads(Path(value).expanduser().read_text())
            except OSError as error:
                reason = (error.strerror or str(error)).lower()
                raise ValueError(f"opening seccomp profile ({value}) failed: {reason}") from error
            except ValueError as error:
                raise ValueError(f"compacting json for seccomp profile ({value}) failed: {error}") from error
            options.append(f"seccomp={json.dumps(profile, separators=(',', ':'))}")
        else:
            options.append(text)
    return options, paths


def _healthcheck(options: Options) -> dict[str, Any] | None:
    times = {
        "Interval": options["health_interval"],
        "Timeout": options["health_timeout"],
        "StartPeriod": options["health_start_period"],
        "StartInterval": options["health_start_interval"],
        "Retries": options["health_retries"],
    }
    asked = {name: value for name, value in times.items() if value is not None}
    command = options["health_cmd"]
    if options["no_healthcheck"]:
        if asked or command is not None:
            raise ValueError("--no-healthcheck conflicts with --health-* options")
        return {"Test": ["NONE"]}
    if (asked.get("Retries") or 0) < 0:
        raise ValueError("--health-retries cannot be negative")
    if command:
        asked["Test"] = ["CMD-SHELL", command]
    return asked or None


def _log_config(options: Options) -> dict[str, Any] | None:
    driver, config = options["log_driver"], values.labels(options["log_opt"])
    if not driver and not config:
        return None
    return {"Type": driver or "", "Config": config}


def _networking(options: Options) -> dict[str, Any]:
    wishes: dict[str, Any] = {}
    if options["network_alias"]:
        wishes["Aliases"] = list(options["network_alias"])
    if options["ip"]:
        wishes["IPAMConfig"] = {"IPv4Address": options["ip"]}
    return {"EndpointsConfig": {options["network"] or "bridge": wishes}} if wishes else {}


def restart_policy(policy: str | None, *, remove: bool = False) -> dict[str, Any] | None:
    """Of `--restart`. Raises ValueError in Docker's words."""
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
    if len(parts) > 3 or not parts[0]:
        raise ValueError(f"invalid device specification: {text}")
    if len(parts) == 2 and set(parts[1]) <= set("rwm"):
        parts = [parts[0], parts[0], parts[1]]
    host, inside, rights = [*parts, "", ""][:3]
    return {"PathOnHost": host, "PathInContainer": inside or host, "CgroupPermissions": rights or "rwm"}


def _list(items: Sequence[str]) -> list[str] | None:
    return list(items) or None


def _without_absent(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None and value is not False}
