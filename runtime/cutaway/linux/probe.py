"""What this machine permits, found by trying.

Being root says little: a container without CAP_SYS_ADMIN has a root too, and a plain user may have all rights
in a namespace of its own. So each finding is an attempt, in a child process that ends right after, with the
errno that the kernel gave and the most likely reason for it.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

from cutaway.linux import constants, hierarchies
from cutaway.linux.kernel import Kernel
from cutaway.linux.namespaces import FLAGS

_WRAPPED = "import sys; from cutaway.linux.probe import _attempt; sys.exit(_attempt(sys.argv[1]))"
_NEEDS_ROOT = "run the engine as root, or allow user namespaces"
_ROOTLESS = "sysctl kernel.unprivileged_userns_clone=1 or user.max_user_namespaces=15000 may allow it"
_BLOCKED = "a container or a seccomp filter around us forbids it: it needs CAP_SYS_ADMIN"


@dataclass(frozen=True, slots=True)
class Finding:
    """One answer.

    What was tried, whether it works, what the machine said, and what to do where it does not.
    """

    name: str
    works: bool
    detail: str
    hint: str = ""


def probe() -> list[Finding]:
    """Try everything that an engine needs. Takes about a second; leaves nothing behind. Never raises."""
    findings = [_identity()]
    findings += [_tried(f"{kind} namespace", f"namespace:{kind}", _ROOTLESS) for kind in FLAGS]
    findings += [
        _tried("overlay file system", "overlay", "the kernel needs overlayfs: modprobe overlay"),
        _tried("detached mounts", "open_tree", "binds need Linux 5.12 or later"),
        _tried("openat2", "openat2", "Linux 5.6 or later; a slower walk that is as safe is used instead"),
        _tried("device nodes", "mknod", "without CAP_MKNOD nodes of the host are bound instead"),
        _tried("seccomp filter", "seccomp", "the kernel needs CONFIG_SECCOMP_FILTER"),
        _libseccomp(),
        *_cgroups(),
        _tried("veth pair and bridge", "bridge", "the kernel needs bridge and veth: modprobe bridge veth"),
        _tried("nftables", "nft", "publishing ports and the way out need nf_tables: modprobe nf_tables"),
    ]
    return findings


def _identity() -> Finding:
    effective, _, _ = Kernel().capget()
    user = f"uid {os.geteuid()}, {effective.bit_count()} capabilities, Linux {os.uname().release}"
    works = bool(effective >> 21 & 1)
    return Finding("administrator's rights", works, user, "" if works else _NEEDS_ROOT)


def _libseccomp() -> Finding:
    try:
        import pyseccomp  # noqa: F401 - it looks for the C library when it is imported
    except (ImportError, RuntimeError, OSError) as error:
        hint = "apt install libseccomp2; until then containers run unfiltered only"
        return Finding("libseccomp", False, str(error).lower(), hint)
    return Finding("libseccomp", True, "filters can be compiled")


def _cgroups() -> list[Finding]:
    trees = hierarchies.hierarchies()
    if not trees:
        return [
            Finding(
                "control groups", False, "none is mounted", "mount a cgroup2 file system on /sys/fs/cgroup"
            )
        ]
    findings = []
    for controller in ("memory", "cpu", "pids", "freezer", "devices", "cpuset"):
        tree = next((tree for tree in trees if controller in tree.controllers), None)
        if tree is None:
            built_in = trees[0].version == 2 and controller in ("freezer", "devices")
            detail = "part of version 2" if built_in else "no such controller"
            hint = "" if built_in else f"limits by {controller} will be refused"
            findings.append(Finding(f"control group: {controller}", built_in, detail, hint))
            continue
        findings.append(_cgroup_directory(controller, tree))
    return findings


def _cgroup_directory(controller: str, tree: hierarchies.Hierarchy) -> Finding:
    directory = f"{tree.base}/cutaway-probe-{os.getpid()}"
    try:
        os.mkdir(directory)
        os.rmdir(directory)
    except OSError as error:
        return Finding(f"control group: {controller}", False, _said(error), f"{tree.base} must be writable")
    return Finding(f"control group: {controller}", True, f"version {tree.version} at {tree.base}")


def _tried(name: str, attempt: str, hint: str) -> Finding:
    """Run an attempt in a fresh interpreter.

    The engine has threads, and many of these need a process with one.
    """
    command = [sys.executable, "-c", _WRAPPED, attempt]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding(name, False, str(error), hint)
    text = done.stdout.strip().splitlines()
    detail = text[-1] if text else (done.stderr.strip().splitlines() or ["no answer"])[-1]
    if done.returncode == 0:
        return Finding(name, True, detail)
    forbidden = os.geteuid() == 0 and "not permitted" in detail.lower()
    return Finding(name, False, detail, _BLOCKED if forbidden else hint)


def _attempt(what: str) -> int:
    """Try one thing in this very process, say what came of it, and return the exit code."""
    kind, _, argument = what.partition(":")
    try:
        sys.stdout.write((_ATTEMPTS[kind](argument) or "works") + "\n")
    except OSError as error:
        sys.stdout.write(_said(error) + "\n")
        return 1
    return 0


def _said(error: OSError) -> str:
    return f"{errno.errorcode.get(error.errno or 0, 'error')}: {error.strerror or error}"


def _leave(kernel: Kernel, flags: int) -> None:
    """Unshare; as a plain user in a user namespace where that user is root, or nothing could be made."""
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0:
        kernel.unshare(flags)
        return
    kernel.unshare(flags | constants.CLONE_NEWUSER)
    kernel.write_file("/proc/self/setgroups", "deny")
    kernel.write_file("/proc/self/uid_map", f"0 {uid} 1")
    kernel.write_file("/proc/self/gid_map", f"0 {gid} 1")


def _own_mounts(kernel: Kernel) -> None:
    _leave(kernel, constants.CLONE_NEWNS)
    kernel.mount(None, "/", None, constants.MS_REC | constants.MS_PRIVATE)


def _try_namespace(kind: str) -> str:
    _leave(Kernel(), FLAGS[kind])
    return "of its own"


def _try_overlay(_: str) -> str:
    kernel, rootless = Kernel(), os.geteuid() != 0
    _own_mounts(kernel)
    kernel.mount("tmpfs", "/tmp", "tmpfs", 0)
    for name in ("lower", "upper", "work", "merged"):
        os.mkdir(f"/tmp/{name}")
    options = "lowerdir=/tmp/lower,upperdir=/tmp/upper,workdir=/tmp/work"
    kernel.mount("overlay", "/tmp/merged", "overlay", 0, options + (",userxattr" if rootless else ""))
    return "mounted and gone again"


def _try_open_tree(_: str) -> str:
    kernel = Kernel()
    _own_mounts(kernel)
    flags = constants.OPEN_TREE_CLONE | constants.OPEN_TREE_CLOEXEC | constants.AT_RECURSIVE
    tree = kernel.open_tree(constants.AT_FDCWD, "/", flags)
    kernel.mount_setattr(tree, "", constants.AT_EMPTY_PATH, constants.MOUNT_ATTR_RDONLY)
    return "open_tree and mount_setattr"


def _try_openat2(_: str) -> str:
    root = os.open("/", os.O_PATH)
    os.close(Kernel().openat2(root, "..", os.O_PATH, 0, constants.RESOLVE_IN_ROOT))
    return "paths are resolved within a root"


def _try_mknod(_: str) -> str:
    kernel = Kernel()
    _own_mounts(kernel)
    kernel.mount("tmpfs", "/tmp", "tmpfs", 0)
    kernel.mknod("/tmp/null", 0o020666, 1, 3)
    os.close(os.open("/tmp/null", os.O_WRONLY))
    return "made and opened"


def _try_seccomp(_: str) -> str:
    kernel = Kernel()
    kernel.no_new_privileges()
    kernel.seccomp_load(b"\x06\0\0\0\0\0\xff\x7f")  # one instruction: allow
    return "a filter can be loaded"


def _try_bridge(_: str) -> str:
    from cutaway.linux import netlink

    _leave(Kernel(), constants.CLONE_NEWNET)
    with netlink.Netlink() as line:
        line.send([netlink.new_bridge("probe0", "02:00:00:00:00:01")])
        bridge = ("probe0", line.index("probe0"))
        line.send([netlink.new_veth("probe1", "probe2", os.getpid(), "02:00:00:00:00:02", 1500, bridge)])
    return "made in a network namespace"


def _try_nft(_: str) -> str:
    import socket

    _leave(Kernel(), constants.CLONE_NEWNET)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 12) as netfilter:
        netfilter.settimeout(5)
        # nlmsghdr: length, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN, REQUEST; nfgenmsg: family, version, id
        netfilter.send(b"\x14\0\0\0\x10\x0a\x01\0\0\0\0\0\0\0\0\0\0\0\0\0")
        answer = netfilter.recv(4096)
        if answer[4:6] == b"\x02\0":  # NLMSG_ERROR
            number = -int.from_bytes(answer[16:20], sys.byteorder, signed=True)
            raise OSError(number, os.strerror(number))
    return "answers"


_ATTEMPTS: dict[str, Callable[[str], str]] = {
    "namespace": _try_namespace,
    "overlay": _try_overlay,
    "open_tree": _try_open_tree,
    "openat2": _try_openat2,
    "mknod": _try_mknod,
    "seccomp": _try_seccomp,
    "bridge": _try_bridge,
    "nft": _try_nft,
}
