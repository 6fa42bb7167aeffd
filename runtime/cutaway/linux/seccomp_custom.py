"""A seccomp profile of the user's own: Docker's JSON, translated rule by rule.

    {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["chmod"], "action": "SCMP_ACT_ALLOW"}]}

A rule may depend on the container's capabilities and on the processor (`includes`, `excludes`) and on the
arguments of the call. Names that this processor or this libseccomp does not know are passed over, as
everywhere: a profile is written for more than one machine.

Source: moby, profiles/seccomp; seccomp_rule_add(3).
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from cutaway.errors import BadInputError, NotPermittedError
from cutaway.linux.seccomp_compile import export, kept, libseccomp

_ACTIONS = ("ALLOW", "ERRNO", "KILL", "KILL_THREAD", "KILL_PROCESS", "TRAP", "LOG", "TRACE")
_COMPARISONS = {
    "SCMP_CMP_NE": "NE",
    "SCMP_CMP_LT": "LT",
    "SCMP_CMP_LE": "LE",
    "SCMP_CMP_EQ": "EQ",
    "SCMP_CMP_GE": "GE",
    "SCMP_CMP_GT": "GT",
    "SCMP_CMP_MASKED_EQ": "MASKED_EQ",
}
_GO_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "i686": "386", "armv7l": "arm"}


class Argument(msgspec.Struct, rename="camel"):
    """A comparison with one argument of the call, 64 bits wide. With a mask, `value` is the mask."""

    index: int
    value: int
    op: str
    value_two: int = 0


class Condition(msgspec.Struct, rename="camel", frozen=True):
    """When a rule counts."""

    caps: list[str] | None = None
    arches: list[str] | None = None
    min_kernel: str | None = None


class Rule(msgspec.Struct, rename="camel"):
    """What is done about some calls."""

    action: str
    names: list[str] | None = None
    name: str = ""
    args: list[Argument] | None = None
    errno_ret: int | None = None
    includes: Condition = Condition()
    excludes: Condition = Condition()


class Profile(msgspec.Struct, rename="camel"):
    """The whole file. `architectures` and `archMap` are not needed: the filter is for this processor."""

    default_action: str
    default_errno_ret: int | None = None
    syscalls: list[Rule] = []
    listener_path: str = ""
    flags: list[str] | None = None


def check_profile(data: Any) -> Profile:
    """The profile that parsed JSON holds. Raises BadInputError for what is none."""
    try:
        profile = msgspec.convert(data, Profile)
    except msgspec.ValidationError as error:
        raise BadInputError(
            f"Decoding seccomp profile failed: {error}", "Docker's documentation tells the format"
        ) from error
    for action in (profile.default_action, *(rule.action for rule in profile.syscalls)):
        if action.removeprefix("SCMP_ACT_") not in _ACTIONS:
            raise BadInputError(
                f"Decoding seccomp profile failed: action {action} is not supported",
                "there are " + ", ".join(f"SCMP_ACT_{name}" for name in _ACTIONS),
            )
    for rule in profile.syscalls:
        for argument in rule.args or ():
            if argument.op not in _COMPARISONS or not 0 <= argument.index < 6:
                raise BadInputError(
                    f"Decoding seccomp profile failed: argument {argument.index} {argument.op}",
                    "arguments are 0 to 5, operators " + ", ".join(_COMPARISONS),
                )
    return profile


def custom_program(text: str, capabilities: tuple[str, ...], cache: Path | None = None) -> bytes:
    """The filter of a profile for a container with these capabilities, as BPF: 8 bytes an instruction.

    Raises NotPermittedError when libseccomp is missing or refuses the profile.
    """
    profile = check_profile(msgspec.json.decode(text))
    told = repr((text, sorted(capabilities), os.uname().machine))
    return kept(told, lambda: _compile(libseccomp(), profile, frozenset(capabilities)), cache)


def _compile(seccomp: ModuleType, profile: Profile, capabilities: frozenset[str]) -> bytes:
    default = _action(seccomp, profile.default_action, profile.default_errno_ret)
    filter_ = seccomp.SyscallFilter(default)
    filter_.set_attr(seccomp.Attr.CTL_OPTIMIZE, 2)
    for rule in profile.syscalls:
        if not _counts(rule, capabilities):
            continue
        action = _action(seccomp, rule.action, rule.errno_ret)
        if action == default:
            continue  # libseccomp takes a rule that changes nothing for a mistake
        arguments = [_argument(seccomp, argument) for argument in rule.args or ()]
        for name in [*(rule.names or ()), *([rule.name] if rule.name else [])]:
            if seccomp.resolve_syscall(seccomp.Arch.NATIVE, name) < 0:
                continue
            try:
                filter_.add_rule(action, name, *arguments)
            except (OSError, RuntimeError, ValueError) as error:
                raise NotPermittedError(
                    f"cannot make the system call filter: libseccomp refuses the rule for {name}: {error}",
                    "are there two rules for it that contradict each other?",
                ) from error
    return export(filter_)


def _counts(rule: Rule, capabilities: frozenset[str]) -> bool:
    here = _GO_ARCHITECTURES.get(os.uname().machine, os.uname().machine)
    wanted, barred = rule.includes, rule.excludes
    if wanted.arches and here not in wanted.arches:
        return False
    if wanted.caps and not capabilities.issuperset(wanted.caps):
        return False
    if wanted.min_kernel and _version(os.uname().release) < _version(wanted.min_kernel):
        return False
    if barred.min_kernel and _version(os.uname().release) >= _version(barred.min_kernel):
        return False
    return not (here in (barred.arches or ()) or capabilities.intersection(barred.caps or ()))


def _version(text: str) -> tuple[int, ...]:
    numbers = text.split("-")[0].split(".")[:2]
    return tuple(int(number) for number in numbers if number.isdigit())


def _action(seccomp: ModuleType, name: str, number: int | None) -> Any:
    bare = name.removeprefix("SCMP_ACT_")
    if bare in ("ERRNO", "TRACE"):
        return getattr(seccomp, bare)(errno.EPERM if number is None else number)
    return getattr(seccomp, {"KILL_THREAD": "KILL"}.get(bare, bare))


def _argument(seccomp: ModuleType, argument: Argument) -> Any:
    comparison = getattr(seccomp, _COMPARISONS[argument.op])
    if argument.op == "SCMP_CMP_MASKED_EQ":
        return seccomp.Arg(argument.index, comparison, argument.value, argument.value_two)
    return seccomp.Arg(argument.index, comparison, argument.value)
