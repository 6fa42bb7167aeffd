"""Capabilities: root's power, cut into 41 pieces.

A process holds five sets. *Permitted* is what it may use, *effective* what it uses now, *bounding* what any
program it starts can ever get, *inheritable* and *ambient* what passes on to programs of plain users. When
root executes a program, the program gets all that the bounding set holds; a plain user's program gets
nothing. So a container's root is made weak by the bounding set, and its plain users have no power in any
case.

Uid 0 that becomes another uid loses everything at once. `SetUser` asks the kernel to keep the permitted set
over that moment, because emptying the bounding set needs a right itself; `SetCapabilities` then takes all
away.
"""

from __future__ import annotations

from dataclasses import dataclass

from cutaway.errors import BadInputError
from cutaway.linux.step import Context, Step

# capabilities(7); the position is the number
_TABLE = """
CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE
NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT
SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE
AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ
PERFMON BPF CHECKPOINT_RESTORE
"""
NAMES = tuple(_TABLE.split())
NUMBERS = {name: number for number, name in enumerate(NAMES)}

# Docker's default for a container (moby, oci/caps/defaults.go)
DEFAULT = (
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
)


def capability_name(text: str) -> str:
    """`cap_net_admin`, `NET_ADMIN` -> `NET_ADMIN`. BadInputError for what is none, in Docker's words."""
    name = text.upper().removeprefix("CAP_")
    if name not in NUMBERS:
        raise BadInputError(
            f'invalid capability: unknown capability: "{text}"', "see capabilities(7) for the names"
        )
    return name


def granted(
    add: tuple[str, ...] = (), drop: tuple[str, ...] = (), *, privileged: bool = False
) -> tuple[str, ...]:
    """Docker's rule for `--cap-add` and `--cap-drop`.

    ALL on either side, an added one outlives a dropped ALL.
    """
    if privileged:
        return NAMES
    added, dropped = {name.upper() for name in add}, {name.upper() for name in drop}
    names = set(NAMES if "ALL" in added else DEFAULT)
    names -= names if "ALL" in dropped else {capability_name(name) for name in dropped}
    if not ("ALL" in added and "ALL" in dropped):
        names |= {capability_name(name) for name in added - {"ALL"}}
    return tuple(name for name in NAMES if name in names)


def mask(names: tuple[str, ...]) -> int:
    """The bit mask of capability names."""
    bits = 0
    for name in names:
        bits |= 1 << NUMBERS[capability_name(name)]
    return bits


def names_of(bits: int) -> tuple[str, ...]:
    """The names in a bit mask, as /proc/PID/status shows it; what we have no name for is left out."""
    return tuple(name for number, name in enumerate(NAMES) if bits >> number & 1)


@dataclass(frozen=True, slots=True)
class SetUser(Step):
    """Become this user.

    Supplementary groups, then the group, then the user, because only root may do the former.
    """

    uid: int
    gid: int
    groups: tuple[int, ...] = ()

    def describe(self) -> str:
        more = f" with groups {', '.join(map(str, self.groups))}" if self.groups else ""
        return f"become user {self.uid}, group {self.gid}{more}"

    def execute(self, context: Context) -> None:
        kernel = context.kernel
        if self.uid != 0:
            kernel.keep_capabilities(on=True)
        kernel.setgroups(self.groups)
        kernel.setresgid(self.gid, self.gid, self.gid)
        kernel.setresuid(self.uid, self.uid, self.uid)


@dataclass(frozen=True, slots=True)
class SetCapabilities(Step):
    """Give up all capabilities but these. Right after `SetUser`.

    As Docker does: bounding holds them, inheritable and ambient are empty; permitted and effective hold them
    for root and nothing for another user. One that the machine itself does not have is left out.
    """

    names: tuple[str, ...]

    def describe(self) -> str:
        return f"keep {len(self.names)} of {len(NAMES)} capabilities: {', '.join(self.names) or 'none'}"

    def execute(self, context: Context) -> None:
        kernel, wanted = context.kernel, mask(self.names)
        _effective, permitted, _inheritable = kernel.capget()
        as_root = kernel.geteuid() == 0
        if not as_root:  # the change of uid emptied the effective set; dropping needs CAP_SETPCAP in it
            kernel.capset(permitted, permitted, 0)
        for number in range(len(NAMES)):
            if not wanted >> number & 1:
                _drop(context, number)
        kernel.clear_ambient()
        kept = wanted & permitted if as_root else 0
        kernel.capset(kept, kept, 0)


def _drop(context: Context, number: int) -> None:
    try:
        context.kernel.drop_bounding(number)
    except OSError as error:
        if error.errno != 22:  # EINVAL: this kernel ends its list earlier
            raise
