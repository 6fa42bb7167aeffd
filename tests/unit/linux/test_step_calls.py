"""What each step asks of the kernel, written down instead of done."""

from __future__ import annotations

import base64
import json

import pytest

from cutaway.errors import BadInputError
from cutaway.linux import steps as _all_steps  # noqa: F401
from cutaway.linux.capabilities import DEFAULT, NAMES, SetCapabilities, SetUser, granted, mask
from cutaway.linux.mounts import AttachTree, EnterRoot, MaskPaths, MountTmpfs, OpenTree
from cutaway.linux.namespaces import JoinNamespaces, WriteIdMap
from cutaway.linux.options import parse_options
from cutaway.linux.overlay import MountOverlay
from cutaway.linux.program import Exec
from cutaway.linux.recording import calls, plan_calls
from cutaway.linux.rlimits import SetRlimits
from cutaway.linux.seccomp import LoadSeccomp
from cutaway.linux.step import Step, step_from_json


def test_the_old_root_is_detached_before_anything_else_happens() -> None:
    assert calls(EnterRoot("/merged")) == [
        'open("/", O_PATH|O_CLOEXEC|O_DIRECTORY) = 3',
        'chdir("/merged")',
        'pivot_root(".", ".")',
        'umount2(".", MNT_DETACH)',
        'chdir("/")',
    ]


def test_an_overlay_is_mounted_with_short_names() -> None:
    step = MountOverlay("/r/layers", ("b/diff", "a/diff"), "../c/upper", "../c/work", "/r/c/merged")
    assert calls(step)[-1] == (
        'mount("overlay", "/r/c/merged", "overlay", 0, '
        '"lowerdir=b/diff:a/diff,upperdir=../c/upper,workdir=../c/work,volatile")'
    )


def test_commas_and_colons_in_a_path_are_escaped() -> None:
    step = MountOverlay("/r", ("a:b,c",), "/x,y/upper", "/x,y/work", "/m", volatile=False)
    shown = calls(step)[-1].replace("\\\\", "\\")
    assert "lowerdir=a\\:b\\,c,upperdir=/x\\,y/upper,workdir=/x\\,y/work" in shown


def test_many_layers_go_one_by_one() -> None:
    lowers = tuple(f"{number:016x}/diff" for number in range(300))
    asked = calls(MountOverlay("/r", lowers, "u", "w", "/m"))
    assert sum("lowerdir+" in line for line in asked) == 300
    assert not [line for line in asked if line.startswith("mount(")]


def test_descriptors_travel_from_step_to_step() -> None:
    told = plan_calls([OpenTree("/data", "volume"), AttachTree("volume", "/v", read_only=True)])
    assert told[0][1] == ['open_tree(AT_FDCWD, "/data", OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC|AT_RECURSIVE) = 3']
    assert (
        told[1][1][0] == 'mount_setattr(3, "", AT_EMPTY_PATH|AT_RECURSIVE, MOUNT_ATTR_RDONLY, 0, MS_PRIVATE)'
    )


def test_capabilities_are_dropped_and_then_set() -> None:
    asked = calls(SetCapabilities(("KILL",)))
    assert "prctl(PR_CAPBSET_DROP, CAP_SYS_ADMIN)" in asked
    assert "prctl(PR_CAPBSET_DROP, CAP_KILL)" not in asked
    assert asked[-1] == "capset(effective=0x20, permitted=0x20, inheritable=0x0)"


def test_a_plain_user_keeps_rights_until_they_are_given_up() -> None:
    assert calls(SetUser(1000, 1000, (5,)))[0] == "prctl(PR_SET_KEEPCAPS, 1)"
    assert calls(SetUser(0, 0))[0] == "setgroups([])"


@pytest.mark.parametrize(
    ("step", "text"),
    [
        (Exec(("true",), ("PATH=/bin",)), 'execve("…/true", ["true"], /* 1 variables */)'),
        (JoinNamespaces(7, ("mnt", "net")), "setns(3, CLONE_NEWNS|CLONE_NEWNET)"),
        (SetRlimits((("nofile", 1, 2),)), "prlimit64(0, RLIMIT_NOFILE, {rlim_cur=1, rlim_max=2})"),
        (WriteIdMap(((0, 1000, 1),), ((0, 1000, 1),)), 'write("/proc/4242/uid_map", "0 1000 1\\n")'),
        (MaskPaths(("/x",)), 'mount("/dev/null", "/x", NULL, MS_BIND)'),
        (MountTmpfs("/t", "ro,size=1m"), 'mount("tmpfs", "/t", "tmpfs", MS_RDONLY, "size=1m")'),
        (
            LoadSeccomp(base64.b64encode(b"\0" * 16).decode()),
            "seccomp(SECCOMP_SET_MODE_FILTER, 0, {2 instructions})",
        ),
    ],
)
def test_a_step_asks_for_this(step: Step, text: str) -> None:
    assert text in calls(step)


def test_every_step_survives_json() -> None:
    for step in (SetRlimits((("core", 0, 0),)), WriteIdMap(((0, 1, 2),), ((0, 1, 2),)), EnterRoot("/m")):
        assert step_from_json(json.loads(json.dumps(step.to_json()))) == step


def test_the_last_of_two_opposite_options_wins() -> None:
    assert parse_options("ro,rw,nosuid,mode=755") == (2, "mode=755")


def test_the_default_capabilities_are_dockers() -> None:
    assert mask(DEFAULT) == 0xA80425FB


@pytest.mark.parametrize(
    ("add", "drop", "expected"),
    [
        ((), (), set(DEFAULT)),
        (("cap_net_admin",), ("kill",), set(DEFAULT) - {"KILL"} | {"NET_ADMIN"}),
        ((), ("ALL",), set()),
        (("NET_RAW",), ("ALL",), {"NET_RAW"}),
        (("ALL",), (), set(NAMES)),
        (("ALL",), ("SYS_ADMIN",), set(NAMES) - {"SYS_ADMIN"}),
    ],
)
def test_added_and_dropped_capabilities(
    add: tuple[str, ...], drop: tuple[str, ...], expected: set[str]
) -> None:
    assert set(granted(add, drop)) == expected


def test_an_unknown_capability_is_refused() -> None:
    with pytest.raises(BadInputError, match='invalid capability: unknown capability: "FLY"'):
        granted(("FLY",))
