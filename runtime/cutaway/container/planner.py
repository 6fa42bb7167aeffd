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
from pathlib import Path

from cutaway.container.plan import Plan
from cutaway.container.records import Record
from cutaway.container.spec import HostConfig
from cutaway.container.steps import AwaitKeeper, DieWithKeeper, GiveStdio, OpenTerminal, UseTerminal
from cutaway.container.users import User
from cutaway.linux import mounts
from cutaway.linux.capabilities import SetCapabilities, SetUser, granted
from cutaway.linux.cgroups import DEFAULT_DEVICES, JoinCgroup, MakeCgroup, RemoveCgroup
from cutaway.linux.devices import MakeDevices, OpenConsole
from cutaway.linux.namespaces import JoinNamespaces, SetDomainname, SetHostname, UnshareCgroupNamespace
from cutaway.linux.overlay import MountOverlay
from cutaway.linux.program import ChangeDirectory, Exec, SetOomScore
from cutaway.linux.rlimits import SetRlimits
from cutaway.linux.seccomp import LoadSeccomp, SetNoNewPrivs
from cutaway.linux.step import Step
from cutaway.settings import Settings

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SHM_BYTES = 64 * 1024 * 1024
FILES = ("resolv.conf", "hostname", "hosts")

Steps = tuple[Step, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Ground:
    """What a plan stands on besides the record: found out by the caller, or imagined for `explain`.

    `lowers` are overlay folders relative to the layers' root, the topmost first. `network` are the steps
    beside and inside. `seccomp` is the compiled filter in base64, empty for none. `cgroup_trees` as
    `MountCgroup` wants them.
    """

    lowers: tuple[str, ...]
    user: User = dataclasses.field(default_factory=User)
    network: tuple[Steps, Steps] = ((), ())
    seccomp: str = ""
    cgroup_trees: tuple[str, ...] = ()


def plan_container(record: Record, settings: Settings, ground: Ground) -> Plan:
    """All steps of a container's start. Pure."""
    host, cgroup = record.host, (settings.instance, record.id)
    beside, network = ground.network
    inside: list[Step] = [JoinCgroup(*cgroup)]
    if host.cgroupns_mode != "host":
        inside.append(UnshareCgroupNamespace())
    inside += _open_binds(record, settings.container(record.id))
    inside += [mounts.PrivateMounts(), overlay_step(record, settings, ground.lowers)]
    inside += _file_tree(record, settings, ground)
    inside += [AwaitKeeper(), *network]
    if host.uts_mode != "host":
        inside.append(SetHostname(record.hostname))
        inside += [SetDomainname(record.config.domainname)] if record.config.domainname else []
    inside += (
        _terminal(record, ground.user) if record.config.tty else [GiveStdio(ground.user.uid, ground.user.gid)]
    )
    inside += _rights(record, ground)
    inside += [ChangeDirectory(record.config.working_dir or "/")]
    inside += [Exec(tuple(record.config.argv), environment(record, ground.user.home))]
    return Plan(
        before=(_cgroup(record, settings.instance),),
        namespaces=_namespaces(record),
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
    kinds = tuple(kind for kind in (*_namespaces(record), "cgroup") if kind != "pid")
    if record.host.cgroupns_mode == "host":
        kinds = kinds[:-1]
    own_pids = record.host.pid_mode != "host"
    first = 1 if own_pids else record.state.pid  # as the child sees it, which is born in that pid namespace
    inside: list[Step] = [JoinCgroup(settings.instance, record.id), JoinNamespaces(first, kinds)]
    if request.tty:
        inside += [OpenTerminal(), UseTerminal(request.rows, request.columns, user.uid)]
    else:
        inside.append(GiveStdio(user.uid, user.gid))
    ground = Ground(lowers=(), user=user, seccomp=seccomp)
    inside += _rights(record, ground, all_rights=request.privileged)
    inside += [ChangeDirectory(request.working_dir or record.config.working_dir or "/")]
    env = environment(record, user.home, request.env, tty=request.tty)
    inside.append(Exec(request.argv, env))
    return Plan(pid_namespace_of=record.state.pid if own_pids else 0, inside=tuple(inside))


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
    shared = {
        "uts": host.uts_mode == "host",
        "ipc": host.ipc_mode == "host",
        "pid": host.pid_mode == "host",
        "net": record.network == "host",
    }
    return ("mnt", *(kind for kind, with_host in shared.items() if not with_host))


def _cgroup(record: Record, instance: str) -> MakeCgroup:
    host = record.host
    quota, period = host.cpu_quota, host.cpu_period
    if host.nano_cpus:
        period = 100_000
        quota = host.nano_cpus * period // 1_000_000_000
    swap = host.memory_swap or 2 * host.memory  # Docker's default: as much swap as memory
    return MakeCgroup(
        instance,
        record.id,
        memory=host.memory,
        memory_swap=swap,
        memory_reservation=host.memory_reservation,
        cpu_quota=quota,
        cpu_period=period,
        cpu_shares=host.cpu_shares,
        pids=host.pids_limit,
        cpuset_cpus=host.cpuset_cpus,
        cpuset_mems=host.cpuset_mems,
        devices=() if host.privileged else DEFAULT_DEVICES,
    )


def _open_binds(record: Record, folder: Path) -> Iterator[Step]:
    for name in FILES:
        yield mounts.OpenTree(str(folder / name), name, recursive=False)
    for mount in record.mounts:
        if mount.type != "tmpfs":
            yield mounts.OpenTree(mount.source, mount.source)


def overlay_step(record: Record, settings: Settings, lowers: tuple[str, ...]) -> MountOverlay:
    """The mount of a container's layers under its writable one."""
    folder = settings.container(record.id)
    relative = f"../{folder.relative_to(settings.root)}"  # the layers' root is a neighbour: short names
    return MountOverlay(
        str(settings.layers), lowers, f"{relative}/upper", f"{relative}/work", str(folder / "merged")
    )


def _file_tree(record: Record, settings: Settings, ground: Ground) -> Iterator[Step]:
    host = record.host
    yield mounts.EnterRoot(str(settings.container(record.id) / "merged"))
    yield mounts.MountProc()
    yield mounts.MountTmpfs("/dev", "nosuid,strictatime,mode=755,size=65536k")
    yield MakeDevices()
    yield mounts.MountDevpts()
    yield mounts.MountMqueue()
    yield mounts.MountTmpfs(
        "/dev/shm", f"nosuid,nodev,noexec,mode=1777,size={host.shm_size or SHM_BYTES}", "shm"
    )
    yield mounts.MountSys(read_only=not host.privileged)
    yield mounts.MountCgroup(ground.cgroup_trees, read_only=not host.privileged)
    for name in FILES:
        yield mounts.AttachTree(name, f"/etc/{name}")
    for mount in record.mounts:
        if mount.type == "tmpfs":
            yield mounts.MountTmpfs(mount.destination, mount.options)
        else:
            yield mounts.AttachTree(mount.source, mount.destination, mount.read_only)
    if record.config.tty:
        yield OpenConsole()
    if not host.privileged:
        masked = mounts.MASKED_PATHS if host.masked_paths is None else tuple(host.masked_paths)
        readonly = mounts.READONLY_PATHS if host.readonly_paths is None else tuple(host.readonly_paths)
        yield mounts.MaskPaths(masked)
        yield mounts.ReadonlyPaths(readonly)
    yield mounts.LeaveOldRoot()
    if host.readonly_rootfs:
        yield mounts.RemountRootReadonly()


def _terminal(record: Record, user: User) -> list[Step]:
    rows, columns = (*record.host.console_size, 0, 0)[:2]
    return [UseTerminal(rows, columns, user.uid)]


def _rights(record: Record, ground: Ground, *, all_rights: bool = False) -> Iterator[Step]:
    host, user = record.host, ground.user
    if host.ulimits:
        yield SetRlimits(tuple((limit.name, limit.soft, limit.hard) for limit in host.ulimits))
    if host.oom_score_adj:
        yield SetOomScore(host.oom_score_adj)
    no_new_privs = _no_new_privs(host)
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


def _no_new_privs(host: HostConfig) -> bool:
    return any(
        option in ("no-new-privileges", "no-new-privileges:true", "no-new-privileges=true")
        for option in host.security_opt
    )


def wants_seccomp(host: HostConfig) -> bool:
    """Whether the default filter is to be loaded."""
    return not host.privileged and not any(
        option in ("seccomp=unconfined", "seccomp:unconfined") for option in host.security_opt
    )
