"""A container in Docker's words: the JSON of `GET /containers/{id}/json`."""

from __future__ import annotations

from typing import Any

import msgspec

from cutaway.container import volumes
from cutaway.container.records import DEAD, PAUSED, RESTARTING, Record
from cutaway.container.spec import words
from cutaway.linux import mounts
from cutaway.network.endpoint import network_settings
from cutaway.settings import Settings

# what HostConfig has for other systems and older engines: always empty on Linux
NOT_HERE = {"Cgroup": "", "CpuCount": 0, "CpuPercent": 0, "IOMaximumBandwidth": 0, "IOMaximumIOps": 0}


def inspect(record: Record, settings: Settings, exec_ids: list[str] | None) -> dict[str, Any]:
    """Everything that is known of it. Sizes are added by the caller when they are asked for."""
    folder, argv = settings.container(record.id), record.config.argv
    return {
        "Id": record.id,
        "Created": record.created,
        "Path": argv[0],
        "Args": argv[1:],
        "State": state(record),
        "Image": record.image,
        "ResolvConfPath": str(folder / "resolv.conf"),
        "HostnamePath": str(folder / "hostname"),
        "HostsPath": str(folder / "hosts"),
        "LogPath": str(folder / "json.log"),
        "Name": f"/{record.name}",
        "RestartCount": record.restart_count,
        "Driver": "overlay2",
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": exec_ids,
        "HostConfig": host_config(record),
        "GraphDriver": {"Name": "overlay2", "Data": _overlay(record, settings)},
        "Mounts": [volumes.docker_json(mount) for mount in record.mounts if mount.type != "tmpfs"],
        "Config": config(record),
        "NetworkSettings": network_settings(settings.instance, record.network, record.endpoint),
    }


def state(record: Record) -> dict[str, Any]:
    """Docker's `State`."""
    now = record.state
    data = {
        "Status": now.status,
        "Running": now.active,
        "Paused": now.status == PAUSED,
        "Restarting": now.status == RESTARTING,
        "OOMKilled": now.oom_killed,
        "Dead": now.status == DEAD,
        "Pid": now.pid,
        "ExitCode": now.exit_code,
        "Error": now.error,
        "StartedAt": now.started_at,
        "FinishedAt": now.finished_at,
    }
    if now.health:
        data["Health"] = {
            "Status": now.health.status,
            "FailingStreak": now.health.failing_streak,
            "Log": [
                {"Start": check.start, "End": check.end, "ExitCode": check.code, "Output": check.output}
                for check in now.health.log
            ],
        }
    return data


def config(record: Record) -> dict[str, Any]:
    """Docker's `Config`."""
    data: dict[str, Any] = msgspec.to_builtins(record.config)
    data["Hostname"] = record.hostname
    data["Cmd"] = words(record.config.cmd) or None
    data["Entrypoint"] = words(record.config.entrypoint) or None
    data["Volumes"] = data["Volumes"] or None
    if not data["ExposedPorts"]:
        del data["ExposedPorts"]
    for name in ("Healthcheck", "StopTimeout", "MacAddress", "NetworkDisabled"):
        if not data[name]:
            del data[name]
    return data


def host_config(record: Record) -> dict[str, Any]:
    """Docker's `HostConfig`."""
    data: dict[str, Any] = msgspec.to_builtins(record.host) | NOT_HERE
    data["NetworkMode"] = record.network
    data["RestartPolicy"]["Name"] = data["RestartPolicy"]["Name"] or "no"
    data["LogConfig"]["Type"] = data["LogConfig"]["Type"] or "json-file"
    data["ShmSize"] = data["ShmSize"] or 64 * 1024 * 1024
    data["IpcMode"] = data["IpcMode"] or "private"
    data["CgroupnsMode"] = data["CgroupnsMode"] or "private"
    data["Runtime"] = data["Runtime"] or "cutaway"
    data["MemorySwap"] = data["MemorySwap"] or 2 * data["Memory"]
    data["PidsLimit"] = data["PidsLimit"] or None
    data["MemorySwappiness"] = None if data["MemorySwappiness"] < 0 else data["MemorySwappiness"]
    data["ConsoleSize"] = data["ConsoleSize"] or [0, 0]
    data["Init"] = data["Init"] or None
    for name, default in (("MaskedPaths", mounts.MASKED_PATHS), ("ReadonlyPaths", mounts.READONLY_PATHS)):
        if data[name] is None:
            data[name] = [] if record.host.privileged else list(default)
    for name in (
        "Binds",
        "CapAdd",
        "CapDrop",
        "GroupAdd",
        "Links",
        "SecurityOpt",
        "VolumesFrom",
        "ExtraHosts",
        "Ulimits",
    ):
        data[name] = data[name] or None
    return data


def _overlay(record: Record, settings: Settings) -> dict[str, str]:
    folder = settings.container(record.id)
    lowers = [
        str(settings.layers / layer.removeprefix("sha256:")[:16] / "diff")
        for layer in reversed(record.layers)
    ]
    folders = {"UpperDir": folder / "upper", "WorkDir": folder / "work", "MergedDir": folder / "merged"}
    return {"LowerDir": ":".join(lowers), **{name: str(path) for name, path in folders.items()}}
