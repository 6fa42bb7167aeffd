"""Every kind of step, gathered.

After importing this, `Step.kinds` is complete and `step_from_json` knows them all.
"""

from __future__ import annotations

from cutaway.linux import (
    capabilities,
    cgroups,
    devices,
    mounts,
    namespaces,
    netlink,
    overlay,
    program,
    rlimits,
    seccomp,
)

__all__ = [
    "capabilities",
    "cgroups",
    "devices",
    "mounts",
    "namespaces",
    "netlink",
    "overlay",
    "program",
    "rlimits",
    "seccomp",
]
