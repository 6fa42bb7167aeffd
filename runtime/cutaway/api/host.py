"""Facts about the machine that `info` and `version` report, each read where the kernel tells it."""

from __future__ import annotations

import functools
import os
import platform
from pathlib import Path

_GO_NAMES = {"x86_64": "amd64", "aarch64": "arm64", "i686": "386", "armv7l": "arm"}


def architecture() -> str:
    """The machine in the words of OCI images: `amd64`, `arm64`."""
    return _GO_NAMES.get(platform.machine(), platform.machine())


@functools.cache
def operating_system() -> str:
    """`Debian GNU/Linux 12 (bookworm)`."""
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"


def memory_bytes() -> int:
    """Main memory of the machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def open_files() -> int:
    """How many descriptors this process has open."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - no Path per entry


def filesystem_of(path: Path) -> str:
    """The type of the file system that holds `path`: `ext4`, `overlay`, `tmpfs`."""
    best, kind = "", "unknown"
    target = os.path.realpath(path)
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        point = before.split()[4]
        inside = target == point or target.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, after.split()[0]
    return kind


def proxies() -> dict[str, str]:
    """The proxy settings of the engine's environment, under the names of `GET /info`."""
    names = {"HttpProxy": "HTTP_PROXY", "HttpsProxy": "HTTPS_PROXY", "NoProxy": "NO_PROXY"}
    return {key: os.environ.get(name) or os.environ.get(name.lower(), "") for key, name in names.items()}
