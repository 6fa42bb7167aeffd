"""`--security-opt`: the ways in which a container may be held tighter, or looser, than usual.

Docker writes them all into one list, `name=value`, and so they arrive. They are parsed here, once; what a
machine without SELinux and AppArmor cannot do is refused or, where nothing is lost, accepted as by Docker.

Source: moby, daemon/daemon_unix.go, parseSecurityOpt.
"""

from __future__ import annotations

import dataclasses
import functools
import json

from cutaway.errors import BadInputError
from cutaway.linux.seccomp_custom import check_profile

_TRUE, _FALSE = ("1", "t", "true", "T", "TRUE", "True"), ("0", "f", "false", "F", "FALSE", "False")


@dataclasses.dataclass(frozen=True, slots=True)
class Security:
    """`seccomp` is "" for the default profile, "unconfined", or a profile of the user's as JSON."""

    no_new_privileges: bool = False
    seccomp: str = ""
    writable_cgroups: bool = False


def read_security(options: list[str]) -> Security:
    """What the options say; a later one wins. Raises BadInputError in Docker's words."""
    return _read(tuple(options))


@functools.lru_cache(64)
def _read(options: tuple[str, ...]) -> Security:
    found = Security()
    for option in options:
        if option == "no-new-privileges":
            found = dataclasses.replace(found, no_new_privileges=True)
            continue
        name, separator, value = option.partition("=" if "=" in option else ":")
        if option == "disable" or (separator and name == "label"):
            continue  # SELinux's, which this engine does not use: nothing is taken away
        if not separator:
            raise BadInputError(f'invalid --security-opt 1: "{option}"', "write it as name=value")
        if name == "no-new-privileges":
            found = dataclasses.replace(found, no_new_privileges=_truth(value, option))
        elif name == "writable-cgroups":
            found = dataclasses.replace(found, writable_cgroups=_truth(value, option))
        elif name == "seccomp":
            found = dataclasses.replace(found, seccomp=_profile(value))
        elif name == "apparmor":
            if value != "unconfined":
                raise BadInputError(
                    f"AppArmor is not supported on this host, but the profile '{value}' was specified",
                    "this engine's containers have no AppArmor profile: leave it out",
                )
        else:
            raise BadInputError(
                f'invalid --security-opt 2: "{option}"',
                "there are seccomp, no-new-privileges, writable-cgroups, apparmor and label",
            )
    return found


def _truth(value: str, option: str) -> bool:
    if value not in _TRUE + _FALSE:
        raise BadInputError(f'invalid --security-opt 2: "{option}"', "write true or false behind it")
    return value in _TRUE


def _profile(value: str) -> str:
    if value in ("", "builtin"):
        return ""
    if value == "unconfined":
        return value
    try:
        profile = json.loads(value)
    except ValueError as error:
        raise BadInputError(
            f"Decoding seccomp profile failed: {error}",
            "the client reads the file; the API wants its content",
        ) from error
    check_profile(profile)
    return value
