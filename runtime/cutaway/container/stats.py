"""`docker stats`: what a container uses, as the kernel counts it.

Processor time, memory and processes are counted by its control group, the network by its interfaces, which
are read through /proc of its first process. Two readings make a rate: `precpu_stats` is the one before.

Memory: `usage` has the file cache in it, which the kernel gives back before it kills anybody. What counts
against the limit when it comes to killing is `usage` without `inactive_file`; clients subtract it.

Source: Docker Engine API, `GET /containers/{id}/stats`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

from cutaway.container import records
from cutaway.container.lifecycle import Containers
from cutaway.container.records import Record
from cutaway.linux.hierarchies import version
from cutaway.settings import Settings

INTERVAL_SECONDS = 1.0
_NEVER = "0001-01-01T00:00:00Z"
_NETWORK = ("rx_bytes", "rx_packets", "rx_errors", "rx_dropped")
_SENT = ("tx_bytes", "tx_packets", "tx_errors", "tx_dropped")


class Statistics:
    """Reads what the containers of one engine use."""

    def __init__(self, settings: Settings, containers: Containers) -> None:
        self._settings, self._containers = settings, containers

    async def stream(self, name: str) -> AsyncIterator[dict[str, Any]]:
        """A reading now and one each second, until the container is removed. Raises NotFoundError."""
        kept = self._containers.shelf.find(name)
        gone = asyncio.ensure_future(kept.wait("removed"))
        before: dict[str, Any] | None = None
        try:
            while not gone.done():
                reading = self._read(kept.record, before)
                yield reading
                before = reading
                await asyncio.wait([gone], timeout=INTERVAL_SECONDS)
        finally:
            gone.cancel()

    async def once(self, name: str, *, one_shot: bool = False) -> dict[str, Any]:
        """One reading. Unless it is `one_shot`, a second passes, so that it has one before. NotFoundError."""
        record = self._containers.record(name)
        before = None
        if record.state.running and not one_shot:
            before = self._read(record, None)
            await asyncio.sleep(INTERVAL_SECONDS)
        return self._read(record, before)

    def _read(self, record: Record, before: dict[str, Any] | None) -> dict[str, Any]:
        found: dict[str, Any] = {
            "id": record.id,
            "name": f"/{record.name}",
            "read": _NEVER,
            "preread": before["read"] if before else _NEVER,
            "num_procs": 0,
            "storage_stats": {},
            "pids_stats": {},
            "blkio_stats": dict.fromkeys(_BLOCK),
            "cpu_stats": _no_cpu(),
            "precpu_stats": before["cpu_stats"] if before else _no_cpu(),
            "memory_stats": {},
        }
        if not record.state.running:
            return found
        group = self._containers.cgroup(record)
        used = group.stats()
        found |= {
            "read": records.now(),
            "pids_stats": {name: number for name, number in used["pids"].items() if number},
            "cpu_stats": _cpu(used["cpu"]),
            "memory_stats": _memory(used["memory"]),
            "blkio_stats": dict.fromkeys(_BLOCK) | {"io_service_bytes_recursive": group.disk_bytes() or None},
        }
        if record.network != "host" and (networks := _networks(record.state.pid)):
            found["networks"] = networks
        return found


_BLOCK = (
    "io_service_bytes_recursive",
    "io_serviced_recursive",
    "io_queue_recursive",
    "io_service_time_recursive",
    "io_wait_time_recursive",
    "io_merged_recursive",
    "io_time_recursive",
    "sectors_recursive",
)


def _no_cpu() -> dict[str, Any]:
    usage = {"total_usage": 0, "usage_in_kernelmode": 0, "usage_in_usermode": 0}
    throttling = {"periods": 0, "throttled_periods": 0, "throttled_time": 0}
    return {"cpu_usage": usage, "throttling_data": throttling}


def _cpu(used: dict[str, Any]) -> dict[str, Any]:
    usage = {
        "total_usage": used["total"],
        "usage_in_kernelmode": used["system"],
        "usage_in_usermode": used["user"],
    }
    if used["per_cpu"]:
        usage["percpu_usage"] = used["per_cpu"]
    throttling = {name: used[name] for name in ("periods", "throttled_periods", "throttled_time")}
    return {
        "cpu_usage": usage,
        "system_cpu_usage": _whole_machine(),
        "online_cpus": os.cpu_count() or 1,
        "throttling_data": throttling,
    }


def _whole_machine() -> int:
    """Nanoseconds that all processors together have lived through: the first line of /proc/stat, proc(5)."""
    with open("/proc/stat", encoding="ascii") as file:
        ticks = file.readline().split()[1:9]
    return sum(map(int, ticks)) * 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def _memory(used: dict[str, Any]) -> dict[str, Any]:
    limit, total = used["limit"], _total_memory()
    found = {"usage": used["usage"], "stats": used["stats"], "limit": limit if 0 < limit < total else total}
    if version() == 1:
        found |= {"max_usage": used["max_usage"], "failcnt": used["failcnt"]}
    return found


def _total_memory() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _networks(pid: int) -> dict[str, dict[str, int]]:
    """Of each interface but `lo`: /proc/PID/net/dev, proc(5). Empty when the process has just ended."""
    try:
        with open(f"/proc/{pid}/net/dev", encoding="ascii") as file:
            lines = file.read().splitlines()[2:]
    except OSError:
        return {}
    found = {}
    for line in lines:
        name, _, rest = line.partition(":")
        words = [int(word) for word in rest.split()]
        if name.strip() != "lo":
            found[name.strip()] = dict(zip(_NETWORK, words[:4], strict=True)) | dict(
                zip(_SENT, words[8:12], strict=True)
            )
    return found
