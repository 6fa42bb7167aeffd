"""What `GET /info` and `GET /system/df` say about this engine and this machine."""

from __future__ import annotations

import asyncio
import datetime
import os
import platform
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cutaway
from cutaway.api import host
from cutaway.linux import hierarchies

if TYPE_CHECKING:
    from cutaway.engine import Engine

_CGROUP_LIMITS = {
    "MemoryLimit": "memory",
    "SwapLimit": "memory",
    "CpuCfsPeriod": "cpu",
    "CpuCfsQuota": "cpu",
    "CPUShares": "cpu",
    "CPUSet": "cpuset",
    "PidsLimit": "pids",
}


async def engine_info(engine: Engine) -> dict[str, Any]:
    """The JSON of `GET /info`. What this engine does not have is told as absent, not left out."""
    settings = engine.settings
    images = await asyncio.to_thread(engine.images.list)
    controllers, cgroup_version = cgroups()
    return {
        "ID": settings.instance,
        "Name": socket.gethostname(),
        **await _counts(engine),
        "Images": len(images),
        "Driver": "overlay2",
        "DriverStatus": [
            ["Backing Filesystem", host.filesystem_of(settings.root)],
            ["Supports d_type", "true"],
        ],
        "Plugins": {
            "Volume": [],
            "Network": ["bridge", "host", "null"],
            "Authorization": None,
            "Log": ["json-file", "local", "none"],
        },
        **{name: controller in controllers for name, controller in _CGROUP_LIMITS.items()},
        "OomKillDisable": False,
        "IPv4Forwarding": _setting("net/ipv4/ip_forward") == "1",
        "Debug": False,
        "NFd": host.open_files(),
        "NGoroutines": len(asyncio.all_tasks()),
        "SystemTime": datetime.datetime.now(datetime.UTC).isoformat(),
        "LoggingDriver": "json-file",
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": cgroup_version,
        "NEventsListener": engine.events.listeners,
        "KernelVersion": platform.release(),
        "OperatingSystem": host.operating_system(),
        "OSVersion": platform.freedesktop_os_release().get("VERSION_ID", ""),
        "OSType": "linux",
        "Architecture": platform.machine(),
        "IndexServerAddress": "",
        "RegistryConfig": {"IndexConfigs": {}, "InsecureRegistryCIDRs": [], "Mirrors": []},
        "NCPU": os.cpu_count() or 1,
        "MemTotal": host.memory_bytes(),
        "DockerRootDir": str(settings.root),
        **host.proxies(),
        "Labels": [],
        "ExperimentalBuild": False,
        "ServerVersion": cutaway.__version__,
        "Runtimes": {"cutaway": {"path": "cutaway"}},
        "DefaultRuntime": "cutaway",
        "Swarm": {"LocalNodeState": "inactive", "ControlAvailable": False},
        "LiveRestoreEnabled": True,
        "Isolation": "",
        "InitBinary": "",
        "SecurityOptions": ["name=seccomp,profile=builtin"],
        "ProductLicense": "Apache-2.0",
        "Warnings": warnings(controllers),
    }


async def _counts(engine: Engine) -> dict[str, int]:
    containers = await engine.looking.list(all=True)
    states = [container["State"] for container in containers]
    return {
        "Containers": len(states),
        "ContainersRunning": states.count("running"),
        "ContainersPaused": states.count("paused"),
        "ContainersStopped": len(states) - states.count("running") - states.count("paused"),
    }


def cgroups() -> tuple[set[str], str]:
    """The controllers that can be used, and the version of the trees they are in: "1" or "2"."""
    names = {name for tree in hierarchies.hierarchies() for name in tree.controllers}
    return names, str(hierarchies.version() or "")


def warnings(controllers: set[str]) -> list[str]:
    """In Docker's words, what a user of this machine has to do without."""
    needed = {"memory": "memory limit", "cpu": "cpu cfs quota", "pids": "pids limit"}
    return [f"WARNING: No {what} support" for name, what in needed.items() if name not in controllers]


def _setting(name: str) -> str:
    try:
        return (Path("/proc/sys") / name).read_text().strip()
    except OSError:
        return ""


async def disk_usage(engine: Engine) -> dict[str, Any]:
    """The JSON of `GET /system/df`. Sizes in bytes."""
    images = await asyncio.to_thread(engine.images.list)
    layers = {layer.diff_id: layer.size for image in images for layer in image.stack}
    return {
        "LayersSize": sum(layers.values()),
        "Images": [engine.images.summary(image) for image in images],
        "Containers": await engine.looking.list(all=True),
        "Volumes": [],
        "BuildCache": [],
    }
