"""The whole inside list of a container, on a busybox tree, in a child made by clone."""

from __future__ import annotations

import os
import shutil
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cutaway.errors import CutawayError
from cutaway.linux import steps as _all_steps  # noqa: F401
from cutaway.linux.capabilities import DEFAULT, SetCapabilities, SetUser
from cutaway.linux.cgroups import Cgroup, JoinCgroup, MakeCgroup, RemoveCgroup, cgroup_base
from cutaway.linux.devices import MakeDevices, OpenConsole
from cutaway.linux.hierarchies import mounted_names
from cutaway.linux.kernel import Kernel
from cutaway.linux.mounts import (
    MASKED_PATHS,
    READONLY_PATHS,
    AttachTree,
    EnterRoot,
    LeaveOldRoot,
    MaskPaths,
    MountCgroup,
    MountDevpts,
    MountMqueue,
    MountProc,
    MountSys,
    MountTmpfs,
    OpenTree,
    PrivateMounts,
    ReadonlyPaths,
    RemountRootReadonly,
)
from cutaway.linux.namespaces import SetHostname, UnshareCgroupNamespace, clone_flags
from cutaway.linux.overlay import MountOverlay
from cutaway.linux.program import ChangeDirectory, Exec
from cutaway.linux.rlimits import SetRlimits
from cutaway.linux.seccomp import SetNoNewPrivs
from cutaway.linux.step import Context, Step, step_from_json

pytestmark = pytest.mark.root

BUSYBOX = Path("/bin/busybox")
FLAGS = clone_flags(("mnt", "uts", "ipc", "pid", "net"))
ENV = ("PATH=/bin",)


@dataclass
class Ended:
    """What came of a container: its exit code and what it wrote."""

    code: int
    output: str


@dataclass
class Machine:
    """A layer with busybox, and room for containers."""

    root: Path
    links: list[str] = field(
        default_factory=lambda: ["sh", "cat", "ls", "id", "true", "mount", "env", "hostname"]
    )

    def __post_init__(self) -> None:
        layer = self.root / "layers/base/diff"
        (layer / "bin").mkdir(parents=True)
        shutil.copy(BUSYBOX, layer / "bin/busybox")
        for name in self.links:
            (layer / "bin" / name).symlink_to("busybox")
        (layer / "etc").mkdir()
        for directory in ("upper", "work", "merged"):
            (self.root / "c" / directory).mkdir(parents=True)

    @property
    def layer(self) -> Path:
        return self.root / "layers/base/diff"

    def plan(
        self,
        *argv: str,
        before_pivot: tuple[Step, ...] = (),
        after_pivot: tuple[Step, ...] = (),
        user: SetUser | None = None,
        last: tuple[Step, ...] = (),
        lowers: tuple[str, ...] = ("base/diff",),
    ) -> list[Step]:
        return [
            PrivateMounts(),
            *before_pivot,
            MountOverlay(
                str(self.root / "layers"), lowers, "../c/upper", "../c/work", str(self.root / "c/merged")
            ),
            EnterRoot(str(self.root / "c/merged")),
            MountProc(),
            MountTmpfs("/dev", "nosuid,strictatime,mode=755,size=65536k"),
            MakeDevices(),
            MountDevpts(),
            MountTmpfs("/dev/shm", "nosuid,noexec,nodev,mode=1777,size=65536k", "shm"),
            MountMqueue(),
            MountSys(),
            *after_pivot,
            MaskPaths(MASKED_PATHS),
            ReadonlyPaths(READONLY_PATHS),
            LeaveOldRoot(),
            SetHostname("inside"),
            SetRlimits((("nofile", 512, 1024),)),
            user or SetUser(0, 0, ()),
            SetCapabilities(DEFAULT),
            SetNoNewPrivs(),
            *last,
            ChangeDirectory("/"),
            Exec(argv, ENV),
        ]

    def run(self, *argv: str, **plan: object) -> Ended:
        return run(self.plan(*argv, **plan))  # type: ignore[arg-type]


def run(plan: list[Step], hook: Callable[[Context], None] = lambda context: None) -> Ended:
    plan = [step_from_json(step.to_json()) for step in plan]
    reader, writer = os.pipe()
    kernel = Kernel()
    pid = kernel.clone(FLAGS)
    if pid == 0:
        try:
            os.dup2(writer, 1)
            os.dup2(writer, 2)
            context = Context(kernel)
            for step in plan:
                step.execute(context)
                hook(context)
        except CutawayError as error:
            os.write(2, f"{type(error).__name__}: {error.message} | {error.hint}".encode())
            os._exit(error.exit_code)
        except BaseException:
            os.write(2, traceback.format_exc().encode())
        os._exit(99)
    os.close(writer)
    with open(reader) as stream:
        output = stream.read()
    _, status = os.waitpid(pid, 0)
    return Ended(os.waitstatus_to_exitcode(status), output)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    if not BUSYBOX.exists():
        pytest.skip("no /bin/busybox: apt install busybox-static")
    return Machine(tmp_path)


@pytest.fixture
def group() -> Iterator[tuple[str, str]]:
    parent, name = f"cutaway-test-{os.getpid()}", "one"
    yield parent, name
    RemoveCgroup(parent, name).execute(Context(Kernel()))
    for directory in cgroup_base(parent):
        if Path(directory).exists():
            Path(directory).rmdir()


def test_a_program_runs_in_its_own_root(machine: Machine) -> None:
    ended = machine.run("sh", "-c", "echo $$ $(hostname); ls /; ls /dev")
    assert ended.code == 0
    assert ended.output.split() == [
        *("1", "inside"),
        *("bin", "dev", "etc", "proc", "sys"),
        *("core", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm"),
        *("stderr", "stdin", "stdout", "tty", "urandom", "zero"),
    ]


def test_writes_go_to_the_upper_directory_only(machine: Machine) -> None:
    machine.run("sh", "-c", "echo new >/etc/file")
    assert (machine.root / "c/upper/etc/file").read_text() == "new\n"
    assert not (machine.layer / "etc/file").exists()


def test_the_host_sees_no_mount_of_a_container(machine: Machine) -> None:
    machine.run("true")
    assert str(machine.root) not in Path("/proc/self/mountinfo").read_text()
    assert list((machine.root / "c/merged").iterdir()) == []


def test_the_container_sees_no_mount_of_the_host(machine: Machine) -> None:
    ended = machine.run("cat", "/proc/self/mountinfo")
    targets = [line.split()[4] for line in ended.output.splitlines()]
    assert targets[0] == "/"
    assert not [path for path in targets if not path.startswith(("/proc", "/dev", "/sys")) and path != "/"]


def test_dot_dot_of_the_root_is_the_root(machine: Machine) -> None:
    assert machine.run("ls", "/../../").output == machine.run("ls", "/").output


def test_links_of_the_image_lead_into_the_image(machine: Machine) -> None:
    outside = machine.root / "outside"
    outside.mkdir()
    (machine.layer / "dev").symlink_to("/../../" + str(outside))
    ended = machine.run("sh", "-c", "echo reached")
    assert ended.output == "reached\n"
    assert list(outside.iterdir()) == []


def test_a_link_in_place_of_proc_is_refused(machine: Machine) -> None:
    (machine.layer / "proc").symlink_to("/etc")
    ended = machine.run("true")
    assert ended.code == 99
    assert "the image has a symbolic link where a directory must be: '/proc'" in ended.output


def test_root_has_dockers_capabilities_and_no_more(machine: Machine) -> None:
    ended = machine.run(
        "sh",
        "-c",
        "cat /proc/self/status | while read k v; do case $k in Cap*|NoNew*) echo $k $v;; esac; done",
    )
    assert ended.output.splitlines() == [
        "CapInh: 0000000000000000",
        "CapPrm: 00000000a80425fb",
        "CapEff: 00000000a80425fb",
        "CapBnd: 00000000a80425fb",
        "CapAmb: 0000000000000000",
        "NoNewPrivs: 1",
    ]


def test_a_plain_user_has_no_capabilities(machine: Machine) -> None:
    script = "id; cat /proc/self/status | while read k v; do case $k in Cap*) echo $k $v;; esac; done"
    ended = machine.run("sh", "-c", script, user=SetUser(1000, 100, (100, 5)))
    assert ended.output.splitlines() == [
        "uid=1000 gid=100 groups=5,100",
        "CapInh: 0000000000000000",
        "CapPrm: 0000000000000000",
        "CapEff: 0000000000000000",
        "CapBnd: 00000000a80425fb",
        "CapAmb: 0000000000000000",
    ]


def test_masked_paths_are_empty_and_read_only_paths_refuse(machine: Machine) -> None:
    ended = machine.run(
        "sh",
        "-c",
        "cat /proc/timer_list /proc/interrupts; ls /sys/firmware; "
        "echo 1 >/proc/sys/kernel/panic; echo x >/sys/x",
    )
    assert ended.output.splitlines() == [
        "sh: can't create /proc/sys/kernel/panic: Read-only file system",
        "sh: can't create /sys/x: Read-only file system",
    ]


def test_a_bind_makes_its_target_and_can_be_read_only(machine: Machine) -> None:
    source = machine.root / "source"
    source.mkdir()
    (source / "note").write_text("from the host\n")
    ended = machine.run(
        *("sh", "-c", "cat /a/b/note /etc/hosts; echo w >/a/b/new; echo w >/rw/new"),
        before_pivot=(
            OpenTree(str(source), "directory"),
            OpenTree(str(source / "note"), "file"),
            OpenTree(str(source), "writable"),
        ),
        after_pivot=(
            AttachTree("directory", "/a/b", read_only=True),
            AttachTree("file", "/etc/hosts"),
            AttachTree("writable", "/rw"),
        ),
    )
    assert ended.output.splitlines() == [
        "from the host",
        "from the host",
        "sh: can't create /a/b/new: Read-only file system",
    ]
    assert (source / "new").read_text() == "w\n"


def test_a_read_only_root_still_has_writable_mounts(machine: Machine) -> None:
    ended = machine.run(
        "sh", "-c", "echo w >/x; echo ok >/dev/shm/x && cat /dev/shm/x", after_pivot=(RemountRootReadonly(),)
    )
    assert ended.output == "sh: can't create /x: Read-only file system\nok\n"


def test_limits_of_a_process_are_set(machine: Machine) -> None:
    assert machine.run("sh", "-c", "ulimit -n; ulimit -Hn").output.split() == ["512", "1024"]


def test_a_leftover_volatile_mark_does_not_stop_a_restart(machine: Machine) -> None:
    (machine.root / "c/work/work/incompat/volatile").mkdir(parents=True)
    (machine.root / "c/work/work/incompat/volatile/dirty").write_text("")
    assert machine.run("sh", "-c", "echo 1 >/first").code == 0
    assert machine.run("cat", "/first").output == "1\n"


def _many_layers(machine: Machine, count: int) -> tuple[str, ...]:
    names = []
    for number in range(count):
        name = f"{number:016x}/diff"
        (machine.root / "layers" / name / f"l{number}").mkdir(parents=True)
        names.append(name)
    return (*reversed(names), "base/diff")


@pytest.mark.parametrize("count", [126, 400])
def test_many_layers_are_stacked(machine: Machine, count: int) -> None:
    ended = machine.run("sh", "-c", "ls -d /l* | cat", lowers=_many_layers(machine, count))
    assert len(ended.output.split()) == count


def test_a_container_has_a_terminal_of_its_own(machine: Machine) -> None:
    shown: list[str] = []

    def hook(context: Context) -> None:
        if "console" in context.fds:
            fd = context.fds.pop("console")
            os.setsid()
            os.write(1, os.ttyname(fd).encode() + b"\n")

    plan = machine.plan("ls", "/dev/pts", after_pivot=(OpenConsole(),))
    shown = run(plan, hook).output.split()
    assert shown == ["/dev/pts/0", "ptmx"]  # the child's end was closed on exec: its number is free again


@pytest.mark.parametrize(
    ("argv", "code", "text"),
    [
        (("nosuch",), 127, 'CommandNotFoundError: exec: "nosuch": executable file not found in $PATH'),
        (("/nosuch",), 127, 'CommandNotFoundError: exec: "/nosuch": stat /nosuch: no such file or directory'),
        (("/etc",), 126, 'CommandNotExecutableError: exec: "/etc": is a directory'),
        (("/plain",), 126, 'CommandNotExecutableError: exec: "/plain": permission denied'),
        (
            ("/script",),
            127,
            "CommandNotFoundError: exec /script: no such file or directory | the file is there, "
            "but not /bin/bash",
        ),
        (("/noise",), 126, "CommandNotExecutableError: exec /noise: exec format error"),
    ],
)
def test_a_program_that_cannot_run_says_why(machine: Machine, argv: tuple[str], code: int, text: str) -> None:
    (machine.layer / "plain").write_text("")
    for name, content in (("script", "#!/bin/bash\n"), ("noise", "\0\1\2")):
        (machine.layer / name).write_text(content)
        (machine.layer / name).chmod(0o755)
    ended = machine.run(*argv)
    assert ended.code == code
    assert ended.output.startswith(text)


def test_a_container_runs_in_its_cgroup_and_sees_it_as_the_root(
    machine: Machine, group: tuple[str, str]
) -> None:
    MakeCgroup(*group, memory=64 << 20, pids=20, cpu_quota=50000).execute(Context(Kernel()))
    ended = machine.run(
        *(
            "sh",
            "-c",
            "cat /proc/self/cgroup; ls /sys/fs/cgroup; cat /sys/fs/cgroup/memory/memory.limit_in_bytes",
        ),
        before_pivot=(JoinCgroup(*group), UnshareCgroupNamespace()),
        after_pivot=(MountCgroup(mounted_names()),),
    )
    lines = ended.output.splitlines()
    assert {line for line in lines if ":memory:" in line or ":pids:" in line} == {
        line for line in lines if line.endswith((":memory:/", ":pids:/"))
    }
    assert lines[-1] == str(64 << 20)
    assert Cgroup(*group).processes() == []


def test_memory_beyond_the_limit_is_a_kill_that_is_counted(machine: Machine, group: tuple[str, str]) -> None:
    MakeCgroup(*group, memory=8 << 20, memory_swap=8 << 20).execute(Context(Kernel()))
    script = "x=0123456789abcdef; while :; do x=$x$x; done"
    ended = machine.run("sh", "-c", f"sh -c '{script}'; echo $?", before_pivot=(JoinCgroup(*group),))
    assert ended.output.strip().endswith("137")
    assert Cgroup(*group).oom_kills() == 1


def test_a_device_that_is_not_on_the_list_cannot_be_opened(machine: Machine, group: tuple[str, str]) -> None:
    MakeCgroup(*group).execute(Context(Kernel()))
    machine.links.append("mknod")
    (machine.layer / "bin/mknod").symlink_to("busybox")
    ended = machine.run(
        "sh", "-c", "mknod /dev/kmsg c 1 11 && cat /dev/kmsg", before_pivot=(JoinCgroup(*group),)
    )
    assert ended.output == "cat: can't open '/dev/kmsg': Operation not permitted\n"


def test_freeze_stops_and_kill_all_ends(machine: Machine, group: tuple[str, str]) -> None:
    MakeCgroup(*group).execute(Context(Kernel()))
    kernel, cgroup = Kernel(), Cgroup(*group)
    pid = kernel.clone(0)
    if pid == 0:
        try:
            JoinCgroup(*group).execute(Context(kernel))
            os.execv("/bin/busybox", ["sleep", "1000"])
        finally:
            os._exit(99)
    while pid not in cgroup.processes():
        pass
    cgroup.freeze()
    assert cgroup.frozen()
    cgroup.thaw()
    assert not cgroup.frozen()
    cgroup.kill_all()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -9
