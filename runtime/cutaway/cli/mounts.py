"""`--mount type=bind,source=/here,target=/there,readonly`, read into what Docker's API takes.

The value is one line of comma-separated values; a value with a comma in it stands in double quotes. Which
options there are depends on the type.
"""

from __future__ import annotations

import csv
import os
from typing import Any

from cutaway.cli.values import size

_TRUE, _FALSE = ("", "1", "t", "true"), ("0", "f", "false")
_RECURSIVE: dict[str, dict[str, bool]] = {
    "enabled": {},
    "disabled": {"NonRecursive": True},
    "writable": {"ReadOnlyNonRecursive": True},
    "readonly": {"ReadOnlyForceRecursive": True},
}


def mount(text: str) -> dict[str, Any]:
    """An entry of `HostConfig.Mounts`. Raises ValueError in Docker's words."""
    (fields,) = csv.reader([text]) if text else ([],)
    found: dict[str, Any] = {"Type": "volume"}
    for field in fields:
        name, equals, value = field.strip().partition("=")
        name = name.lower()
        if not equals and name not in ("readonly", "ro", "volume-nocopy", "bind-nonrecursive"):
            raise ValueError(f"invalid field '{field}' must be a key=value pair")
        _read(found, name, value, field)
    if not found.get("Target"):
        raise ValueError("target is required")
    _check_kinds(found)
    source = found.get("Source", "")
    if found["Type"] == "bind" and source.startswith("."):
        found["Source"] = os.path.abspath(source)  # noqa: PTH100 - Path keeps `a/../b`
    return found


def _read(found: dict[str, Any], name: str, value: str, field: str) -> None:
    if name == "type":
        found["Type"] = value.lower()
    elif name in ("source", "src"):
        found["Source"] = value
    elif name in ("target", "dst", "destination"):
        found["Target"] = value
    elif name in ("readonly", "ro"):
        found["ReadOnly"] = _truth(name, value)
    elif name == "consistency":
        found["Consistency"] = value.lower()
    elif name.startswith("bind-"):
        _read_bind(found.setdefault("BindOptions", {}), name, value, field)
    elif name.startswith("volume-"):
        _read_volume(found.setdefault("VolumeOptions", {}), name, value, field)
    elif name.startswith("tmpfs-"):
        _read_tmpfs(found.setdefault("TmpfsOptions", {}), name, value, field)
    else:
        raise ValueError(f"unexpected key '{name}' in '{field}'")


def _read_bind(options: dict[str, Any], name: str, value: str, field: str) -> None:
    if name == "bind-propagation":
        options["Propagation"] = value.lower()
    elif name == "bind-nonrecursive":
        options["NonRecursive"] = _truth(name, value)
    elif name == "bind-recursive":
        if value not in _RECURSIVE:
            raise ValueError(f'invalid value for {name}: {value} (must be "{"", "".join(_RECURSIVE)}")')
        options |= _RECURSIVE[value]
    else:
        raise ValueError(f"unexpected key '{name}' in '{field}'")


def _read_volume(options: dict[str, Any], name: str, value: str, field: str) -> None:
    if name == "volume-nocopy":
        options["NoCopy"] = _truth(name, value)
    elif name == "volume-subpath":
        options["Subpath"] = value
    elif name == "volume-label":
        label, _, rest = value.partition("=")
        options.setdefault("Labels", {})[label] = rest
    elif name == "volume-driver":
        options.setdefault("DriverConfig", {})["Name"] = value
    elif name == "volume-opt":
        option, _, rest = value.partition("=")
        options.setdefault("DriverConfig", {}).setdefault("Options", {})[option] = rest
    else:
        raise ValueError(f"unexpected key '{name}' in '{field}'")


def _read_tmpfs(options: dict[str, Any], name: str, value: str, field: str) -> None:
    if name == "tmpfs-size":
        options["SizeBytes"] = size(value)
    elif name == "tmpfs-mode":
        try:
            options["Mode"] = int(value, 8)
        except ValueError:
            raise ValueError(f"invalid value for {name}: {value}") from None
    else:
        raise ValueError(f"unexpected key '{name}' in '{field}'")


def _check_kinds(found: dict[str, Any]) -> None:
    for kind in ("volume", "bind", "tmpfs"):
        if f"{kind.capitalize()}Options" in found and found["Type"] != kind:
            raise ValueError(f"cannot mix '{kind}-*' options with mount type '{found['Type']}'")


def _truth(name: str, value: str) -> bool:
    if value.lower() not in _TRUE + _FALSE:
        raise ValueError(f"invalid value for {name}: {value}")
    return value.lower() in _TRUE
