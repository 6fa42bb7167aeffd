"""From a record to a plan: which steps make this container, in which order, and why in this order.

Nothing is asked of the machine here; all that has to be known is passed in. So the same function serves a
start, `explain`, which never starts anything, and the tests.

The order inside matters. The cgroup comes first, so that all that follows is accounted and limited. Binds are
opened while the host can still be seen. Then the root is changed, and everything after it happens inside: a
link in an image cannot lead a mount out. Rights go last, each with what it still needs: limits want root, the
user's change wants SETUID, the filter wants `no_new_privs` or CAP_SYS_ADMIN, and then comes exec.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from cutaway.container.filetree import INIT, file_tree, open_binds, overlay_step, protect
from cutaway.container.plan import Plan
from cutaway.container.records import Record
from cutaway.container.resources import cgroup_step
from cutaway.container.security import read_security
from cutaway.container.sharing import PREFIX, Shared
from cutaway.container.steps import AwaitKeeper, DieWithKeeper, GiveStdio, OpenTerminal, UseTerminal
from cutaway.container.users import User
from cutaway.linux import mounts
from cutaway.linux.capabilities import SetCapabilities, SetUser, granted
from cutaway.linux.cgroups import JoinCgroup, RemoveCgroup
from cutaway.linux.devices import Node
from cutaway.linux.namespaces import (
    JoinNamespaceFile,
    JoinNamespaces,
    SetDomainname,
    SetHostname,
    UnshareCgroupNamespace,
    WriteSysctl,
)
from cutaway.linux.program import ChangeDirectory, Exec, SetOomScore
from cutaway.linux.rlimits import SetRlimits
from cutaway.linux.seccomp import LoadSeccomp, SetNoNewPrivs
from cutaway.linux.step import Step
from cutaway.settings import Settings

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
INIT_COMMAND = (INIT, "--")

Steps = tuple[Step, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Ground:
    """What a plan stands on besides the record: found out by the caller, or imagined for `explain`.

    `lowers` are overlay folders relative to the layers' root, the topmost first. `network` are the steps
    beside and inside. `seccomp` is the compiled filter in base64, empty for none. `cgroup_trees` as
    `MountCgroup` wants them. `nodes` are devices besides the usual ones, `init` the program of `--init`.
    """

    lowers: tuple[str, ...]
    user: User = dataclasses.field(default_factory=User)
    network: tuple[Steps, Steps] = ((), ())
    seccomp: str = ""
    cgroup_trees: tuple[str, ...] = ()
    nodes: tuple[Node, ...] = ()
    shared: Shared = dataclasses.field(default_factory=Shared)
    init: str = ""


def plan_container(record: Record, settings: Settings, ground: Ground) -> Plan:
    """All steps of a container's start. Pure."""
    host, shared, cgroup = record.host, ground.shared, (settings.instance, record.id)
    beside, network = ground.network
    inside: list[Step] = [JoinCgroup(*cgroup)]
    inside += [JoinNamespaceFile(f"/proc/{shared.pid_of(kind)}/ns/{kind}", kind) for kind in _joined(shared)]
    if host.cgroupns_mode != "host":
        inside.append(UnshareCgroupNamespace())
    inside += open_binds(record, settings, shared, ground.init)
    inside += [mounts.PrivateMounts(), overlay_step(record, settings, ground.lowers)]
    inside += file_tree(
        record,
        settings.container(record.id) / "merged",
        nodes=ground.nodes,
        cgroup_trees=ground.cgroup_trees,
        shared=shared,
        init=ground.init,
    )
    connected: list[Step] = [AwaitKeeper(), *network]
    if host.sysctls:  # some are settings of eth0; and soon /proc/sys cannot be written any more
        inside += [*connected, *(WriteSysctl(name, value) for name, value in sorted(host.sysctls.items()))]
        inside += protect(record)
    else:
        inside += [*protect(record), *connected]
    if host.uts_mode != "host":
        inside.append(SetHostname(record.hostname))
        inside += [SetDomainname(record.config.domainname)] if record.config.domainname else []
    inside += (
        _terminal(record, ground.user) if record.config.tty else [GiveStdio(ground.user.uid, ground.user.gid)]
    )
    inside += _rights(record, ground)
    inside += [ChangeDirectory(record.config.working_dir or "/")]
    argv = (*INIT_COMMAND, *record.config.argv) if ground.init else tuple(record.config.argv)
    inside += [Exec(argv, environment(record, ground.user.home))]
    return Plan(
        before=(cgroup_step(record, settings.instance, ground.nodes),),
        namespaces=_namespaces(record),
        pid_namespace_of=shared.pid,
        beside=beside,
        inside=tuple(inside),
        after=(RemoveCgroup(*cgroup),),
    )


@dataclasses.dataclass(frozen=True, slots=True)
class ExecRequest:
    """One more process in a running container. Empty `working_dir` is the container's own."""

    argv: tuple[str, ...]
    env: tuple[str, ...] = ()
    working_dir: str = ""
    tty: bool = False
    privileged: bool = False
    rows: int = 0
    columns: int = 0


def plan_exec(
    record: Record, settings: Settings, request: ExecRequest, user: User, seccomp: str = ""
) -> Plan:
    """All steps of an exec: into the container's group and namespaces, the same loss of rights. Pure."""
    inside: list[Step] = [JoinCgroup(settings.instance, record.id), *_enter(record)]
    if request.tty:
        inside += [OpenTerminal(), UseTerminal(request.rows, request.columns, user.uid)]
    else:
        inside.append(GiveStdio(user.uid, user.gid))
    ground = Ground(lowers=(), user=user, seccomp=seccomp)
    inside += _rights(record, ground, all_rights=request.privileged)
    inside += [ChangeDirectory(request.working_dir or record.config.working_dir or "/")]
    env = environment(record, user.home, request.env, tty=request.tty)
    inside.append(Exec(request.argv, env))
    return Plan(
        pid_namespace_of=0 if record.host.pid_mode == "host" else record.state.pid, inside=tuple(inside)
    )


def _enter(record: Record) -> list[Step]:
    """Into all namespaces of the container that are not the host's, whomever it shares them with."""
    host, pid = record.host, record.state.pid
    modes = {"uts": host.uts_mode, "ipc": host.ipc_mode, "net": record.network, "cgroup": host.cgroupns_mode}
    kinds = ("mnt", *(kind for kind, mode in modes.items() if mode != "host"))
    if host.pid_mode == "host":
        return [JoinNamespaces(pid, kinds)]
    if not host.pid_mode:
        return [JoinNamespaces(1, kinds)]  # as the child sees it, which is born in that pid namespace
    # Its number in another's pid namespace is not known; /proc is the host's until mnt is joined.
    return [JoinNamespaceFile(f"/proc/{pid}/ns/{kind}", kind) for kind in (*kinds[1:], "mnt")]


def environment(
    record: Record, home: str, more: tuple[str, ...] = (), *, tty: bool | None = None
) -> tuple[str, ...]:
    """The program's variables: Docker's own, the container's over them, `more` over those."""
    own = {"PATH": DEFAULT_PATH, "HOSTNAME": record.hostname}
    if record.config.tty if tty is None else tty:
        own["TERM"] = "xterm"
    own["HOME"] = home
    for variable in (*record.config.env, *more):
        name, equals, value = variable.partition("=")
        if equals:
            own[name] = value
    return tuple(f"{name}={value}" for name, value in own.items())


def _namespaces(record: Record) -> tuple[str, ...]:
    host = record.host
    modes = {"uts": host.uts_mode, "ipc": host.ipc_mode, "pid": host.pid_mode, "net": record.network}
    own = (kind for kind, mode in modes.items() if mode != "host" and not mode.startswith(PREFIX))
    return ("mnt", *own)


def _joined(shared: Shared) -> list[str]:
    """Of whom it joins, all but the pid namespace, into which it is born."""
    return [kind for kind in ("net", "ipc") if shared.pid_of(kind)]


def _terminal(record: Record, user: User) -> list[Step]:
    rows, columns = (*record.host.console_size, 0, 0)[:2]
    return [UseTerminal(rows, columns, user.uid)]


def _rights(record: Record, ground: Ground, *, all_rights: bool = False) -> Iterator[Step]:
    host, user = record.host, ground.user
    if host.ulimits:
        yield SetRlimits(tuple((limit.name, limit.soft, limit.hard) for limit in host.ulimits))
    if host.oom_score_adj:
        yield SetOomScore(host.oom_score_adj)
    no_new_privs = read_security(host.security_opt).no_new_privileges
    filtered = bool(ground.seccomp) and not all_rights
    if filtered and not no_new_privs:
        yield LoadSeccomp(ground.seccomp)  # now, while CAP_SYS_ADMIN is still there
    yield SetUser(user.uid, user.gid, user.groups)
    privileged = host.privileged or all_rights
    yield SetCapabilities(granted(tuple(host.cap_add), tuple(host.cap_drop), privileged=privileged))
    yield DieWithKeeper()
    if no_new_privs:
        yield SetNoNewPrivs()
        if filtered:
            yield LoadSeccomp(ground.seccomp)
