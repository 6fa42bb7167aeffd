"""The one door to the kernel.

A system call is a number and up to six words in registers. Python's `os` wraps many of them; the ones that
make containers it leaves out: `mount`, `pivot_root`, `clone` with namespace flags, `capset`, `seccomp`. This
file reaches them through the C library with ctypes, and nothing else in the project imports ctypes. Each
method is one call with the arguments of its man page; a refusal becomes an `OSError` that carries errno and,
where there is one, the path.

Calls that the C library has no function for go through `syscall(2)` with their number. From 424 on the
numbers are the same on every architecture; the older ones differ and stand in `_NUMBERS`.

`clone` is special. Through `ctypes.PyDLL` the interpreter keeps its global lock during the call, so the child
comes back as a copy that holds the lock too and may go on running Python, exactly as after `os.fork`. It must
be called in a process with one thread, and the child should do little more than ask the kernel for things and
then `execve`.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import resource
import signal
import struct
from typing import NoReturn

from cutaway.linux.constants import (
    FSCONFIG_CMD_CREATE,
    FSCONFIG_SET_FLAG,
    FSCONFIG_SET_STRING,
    FSMOUNT_CLOEXEC,
    FSOPEN_CLOEXEC,
    PR_CAP_AMBIENT,
    PR_CAP_AMBIENT_CLEAR_ALL,
    PR_CAPBSET_DROP,
    PR_SET_CHILD_SUBREAPER,
    PR_SET_DUMPABLE,
    PR_SET_KEEPCAPS,
    PR_SET_NAME,
    PR_SET_NO_NEW_PRIVS,
    PR_SET_PDEATHSIG,
    SECCOMP_SET_MODE_FILTER,
)
from cutaway.linux.file_calls import FileCalls

# name: (x86_64, aarch64)
_NUMBERS = {
    "clone": (56, 220),
    "rt_sigaction": (13, 134),
    "pivot_root": (155, 41),
    "capget": (125, 90),
    "capset": (126, 91),
    "seccomp": (317, 277),
    "bpf": (321, 280),
    "pidfd_send_signal": (424, 424),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "openat2": (437, 437),
    "mount_setattr": (442, 442),
}
_COLUMN = 1 if os.uname().machine == "aarch64" else 0
_CAPABILITY_VERSION_3 = 0x20080522
_BPF_PROG_LOAD = 5
_BPF_PROG_ATTACH = 8
_BPF_PROG_TYPE_CGROUP_DEVICE = 15
_BPF_CGROUP_DEVICE = 6
_BPF_F_ALLOW_MULTI = 2
_TIOCGPTN = 0x80045430
_TIOCSPTLCK = 0x40045431

_libc = ctypes.CDLL(None, use_errno=True)
_libc_keeping_the_lock = ctypes.PyDLL(None, use_errno=True)

_text, _int, _long, _pointer = ctypes.c_char_p, ctypes.c_int, ctypes.c_long, ctypes.c_void_p
_libc.mount.argtypes = (_text, _text, _text, ctypes.c_ulong, _text)
_libc.umount2.argtypes = (_text, _int)
_libc.unshare.argtypes = (_int,)
_libc.setns.argtypes = (_int, _int)
_libc.sethostname.argtypes = (_text, ctypes.c_size_t)
_libc.setdomainname.argtypes = (_text, ctypes.c_size_t)
_libc.prctl.argtypes = (_int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong)
_libc.inotify_init1.argtypes = (_int,)
_libc.inotify_add_watch.argtypes = (_int, _text, ctypes.c_uint32)
# syscall(2) is variadic: each argument is given its type where it is called
_libc.syscall.restype = _long
_libc_keeping_the_lock.syscall.argtypes = (_long, _long, _long, _long, _long, _long)
_libc_keeping_the_lock.syscall.restype = _long


def _checked(result: int, *path: str) -> int:
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), *path)
    return int(result)


def _syscall(name: str, *arguments: object, paths: tuple[str, ...] = ()) -> int:
    return _checked(_libc.syscall(_long(_NUMBERS[name][_COLUMN]), *arguments), *paths)


class Kernel(FileCalls):
    """System calls as methods. All raise OSError when the kernel refuses; paths are str, flags are ints."""

    # Processes and namespaces -------------------------------------------------------------------------

    def clone(self, flags: int) -> int:
        """Fork with namespace flags, clone(2). Returns the child's pid, and 0 in the child.

        SIGCHLD tells of its end.

        No at-fork hooks run. The caller must have one thread only.
        """
        number = _NUMBERS["clone"][_COLUMN]
        return _checked(_libc_keeping_the_lock.syscall(number, flags | signal.SIGCHLD, 0, 0, 0, 0))

    def unshare(self, flags: int) -> None:
        """Leave namespaces for new ones, unshare(2)."""
        _checked(_libc.unshare(flags))

    def setns(self, fd: int, flags: int) -> None:
        """Join the namespace of an nsfs descriptor, or those named in `flags` of a pidfd's process.

        Setns(2).
        """
        _checked(_libc.setns(fd, flags))

    def pidfd_open(self, pid: int) -> int:
        """A descriptor that stays tied to this process when its pid is used again, pidfd_open(2)."""
        return os.pidfd_open(pid, 0)

    def pidfd_send_signal(self, pidfd: int, signal_number: int) -> None:
        """Signal the process of a pidfd. ProcessLookupError when it has ended."""
        _syscall("pidfd_send_signal", _int(pidfd), _int(signal_number), None, _int(0))

    def sethostname(self, name: str) -> None:
        """Set the host name of this UTS namespace, at most 64 bytes."""
        data = os.fsencode(name)
        _checked(_libc.sethostname(data, len(data)))

    def setdomainname(self, name: str) -> None:
        """Set the NIS domain name of this UTS namespace, at most 64 bytes."""
        data = os.fsencode(name)
        _checked(_libc.setdomainname(data, len(data)))

    def restore_signals(self) -> None:
        """Give the program that is about to start default signals.

        The interpreter ignores two, and masks stay.
        """
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        for hidden in (32, 33):  # the C library's own, which it hides; posix_spawn(3) leaves them ignored
            _syscall("rt_sigaction", _int(hidden), bytes(32), None, ctypes.c_size_t(8))

    def execve(self, path: str, argv: tuple[str, ...], env: dict[str, str]) -> NoReturn:
        """Become another program, execve(2)."""
        os.execve(path, argv, env)

    # Mounts -------------------------------------------------------------------------------------------

    def mount(
        self, source: str | None, target: str, fstype: str | None, flags: int, data: str | None = None
    ) -> None:
        """mount(2). `data` is cut by the kernel at one page, 4095 bytes."""
        result = _libc.mount(_bytes(source), os.fsencode(target), _bytes(fstype), flags, _bytes(data))
        _checked(result, target)

    def umount2(self, target: str, flags: int) -> None:
        """Unmount, umount2(2)."""
        _checked(_libc.umount2(os.fsencode(target), flags), target)

    def pivot_root(self, new_root: str, put_old: str) -> None:
        """Swap the root of this mount namespace, pivot_root(2)."""
        _syscall("pivot_root", os.fsencode(new_root), os.fsencode(put_old), paths=(new_root,))

    def open_tree(self, dir_fd: int, path: str, flags: int) -> int:
        """A descriptor for a mount, or with OPEN_TREE_CLONE for a detached copy of it, open_tree(2)."""
        return _syscall("open_tree", _int(dir_fd), os.fsencode(path), ctypes.c_uint(flags), paths=(path,))

    def move_mount(self, from_fd: int, from_path: str, to_fd: int, to_path: str, flags: int) -> None:
        """Put a mount somewhere else in the tree, or a detached one into it, move_mount(2)."""
        source, target = os.fsencode(from_path), os.fsencode(to_path)
        _syscall(
            "move_mount", _int(from_fd), source, _int(to_fd), target, ctypes.c_uint(flags), paths=(to_path,)
        )

    def mount_setattr(
        self, dir_fd: int, path: str, flags: int, attr_set: int, attr_clr: int = 0, propagation: int = 0
    ) -> None:
        """Change what a mount permits, or its propagation.

        With AT_RECURSIVE all below it too, mount_setattr(2).
        """
        attr = struct.pack("=4Q", attr_set, attr_clr, propagation, 0)
        size = ctypes.c_size_t(len(attr))
        _syscall(
            "mount_setattr", _int(dir_fd), os.fsencode(path), ctypes.c_uint(flags), attr, size, paths=(path,)
        )

    def fsopen(self, fstype: str) -> int:
        """Begin a mount of this type: options follow one by one, so that no page limits them, fsopen(2)."""
        return _syscall("fsopen", os.fsencode(fstype), ctypes.c_uint(FSOPEN_CLOEXEC))

    def fsconfig(self, fs_fd: int, key: str, value: str) -> None:
        """Give one option to a mount that `fsopen` began, fsconfig(2)."""
        command = ctypes.c_uint(FSCONFIG_SET_STRING)
        _syscall(
            "fsconfig", _int(fs_fd), command, os.fsencode(key), os.fsencode(value), _int(0), paths=(value,)
        )

    def fsconfig_flag(self, fs_fd: int, key: str) -> None:
        """Give an option without a value, fsconfig(2)."""
        _syscall("fsconfig", _int(fs_fd), ctypes.c_uint(FSCONFIG_SET_FLAG), os.fsencode(key), None, _int(0))

    def fsmount(self, fs_fd: int, attributes: int) -> int:
        """Create the file system that `fsopen` began; returns a detached mount's descriptor, fsmount(2)."""
        _syscall("fsconfig", _int(fs_fd), ctypes.c_uint(FSCONFIG_CMD_CREATE), None, None, _int(0))
        return _syscall("fsmount", _int(fs_fd), ctypes.c_uint(FSMOUNT_CLOEXEC), ctypes.c_uint(attributes))

    # Files --------------------------------------------------------------------------------------------

    def openat2(self, dir_fd: int, path: str, flags: int, mode: int, resolve: int) -> int:
        """Open with rules for how the path may be walked, openat2(2). The descriptor is closed on exec."""
        how = struct.pack("=3Q", flags | os.O_CLOEXEC, mode, resolve)
        size = ctypes.c_size_t(len(how))
        return _syscall("openat2", _int(dir_fd), os.fsencode(path), how, size, paths=(path,))

    def unlock_terminal(self, master: int) -> str:
        """Unlock the other end of a new terminal; returns its path, pts(4)."""
        fcntl.ioctl(master, _TIOCSPTLCK, struct.pack("i", 0))
        number = struct.unpack("I", fcntl.ioctl(master, _TIOCGPTN, struct.pack("I", 0)))[0]
        return f"/dev/pts/{number}"

    def inotify_init(self) -> int:
        """A non-blocking inotify descriptor, inotify_init1(2)."""
        return _checked(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))

    def inotify_add_watch(self, fd: int, path: str, mask: int) -> int:
        """Watch a path; returns the watch descriptor, inotify_add_watch(2)."""
        return _checked(_libc.inotify_add_watch(fd, os.fsencode(path), mask), path)

    # Rights -------------------------------------------------------------------------------------------

    def setrlimit(self, number: int, soft: int, hard: int) -> None:
        """setrlimit(2); -1 is unlimited. PermissionError for a raised hard limit without CAP_SYS_RESOURCE."""
        try:
            resource.setrlimit(number, (soft, hard))
        except ValueError as error:  # what the module makes of EINVAL and EPERM
            number_of_error = 1 if "exceed" in str(error) or "not allowed" in str(error) else 22
            raise OSError(number_of_error, os.strerror(number_of_error)) from error

    def setgroups(self, groups: tuple[int, ...]) -> None:
        """Set the supplementary groups, setgroups(2)."""
        os.setgroups(groups)

    def setresgid(self, real: int, effective: int, saved: int) -> None:
        """setresgid(2)."""
        os.setresgid(real, effective, saved)

    def setresuid(self, real: int, effective: int, saved: int) -> None:
        """setresuid(2)."""
        os.setresuid(real, effective, saved)

    def geteuid(self) -> int:
        """geteuid(2)."""
        return os.geteuid()

    def capget(self) -> tuple[int, int, int]:
        """This thread's effective, permitted and inheritable capabilities as bit masks, capget(2)."""
        header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
        data = ctypes.create_string_buffer(24)
        _syscall("capget", header, data)
        low = struct.unpack("=6I", data.raw)
        return low[0] | low[3] << 32, low[1] | low[4] << 32, low[2] | low[5] << 32

    def capset(self, effective: int, permitted: int, inheritable: int) -> None:
        """Set this thread's capabilities from bit masks, capset(2)."""
        words = (effective, permitted, inheritable)
        data = struct.pack("=6I", *(word & 0xFFFFFFFF for word in words), *(word >> 32 for word in words))
        _syscall("capset", struct.pack("=Ii", _CAPABILITY_VERSION_3, 0), data)

    def prctl(self, option: int, argument2: int = 0, argument3: int = 0) -> int:
        """prctl(2) with numbers; what has a name of its own is below."""
        return _checked(_libc.prctl(option, argument2, argument3, 0, 0))

    def drop_bounding(self, capability: int) -> None:
        """Take a capability from all programs that this process will ever start.

        EINVAL above the last one.
        """
        self.prctl(PR_CAPBSET_DROP, capability)

    def clear_ambient(self) -> None:
        """Empty the ambient set, capabilities(7)."""
        self.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)

    def keep_capabilities(self, *, on: bool) -> None:
        """Whether permitted capabilities outlive a change from uid 0 to another uid; execve clears this."""
        self.prctl(PR_SET_KEEPCAPS, int(on))

    def no_new_privileges(self) -> None:
        """From now on no set-uid bit and no file capability gives rights, for good."""
        self.prctl(PR_SET_NO_NEW_PRIVS, 1)

    def set_parent_death_signal(self, signal_number: int) -> None:
        """Which signal this process gets when the thread that made it ends; 0 for none."""
        self.prctl(PR_SET_PDEATHSIG, signal_number)

    def set_child_subreaper(self, *, on: bool) -> None:
        """Whether orphans below this process become its children."""
        self.prctl(PR_SET_CHILD_SUBREAPER, int(on))

    def set_dumpable(self, *, on: bool) -> None:
        """Whether others of the same uid may look into /proc/PID of this process."""
        self.prctl(PR_SET_DUMPABLE, int(on))

    def set_name(self, name: str) -> None:
        """What `ps` calls this thread, at most 15 bytes."""
        data = ctypes.create_string_buffer(os.fsencode(name)[:15])
        self.prctl(PR_SET_NAME, ctypes.addressof(data))

    def bpf(self, command: int, attributes: bytes) -> int:
        """bpf(2) with a packed `union bpf_attr`. Pointers in it must stay alive during the call."""
        return _syscall("bpf", _int(command), attributes, ctypes.c_uint(len(attributes)))

    def load_device_filter(self, program: bytes) -> int:
        """Load eBPF that a cgroup asks before a device is opened or made; returns its descriptor."""
        instructions = ctypes.create_string_buffer(program, len(program))
        license_text = ctypes.create_string_buffer(b"Apache-2.0")
        kind, count = _BPF_PROG_TYPE_CGROUP_DEVICE, len(program) // 8
        code, license_at = ctypes.addressof(instructions), ctypes.addressof(license_text)
        return self.bpf(
            _BPF_PROG_LOAD, struct.pack("=IIQQIIQII", kind, count, code, license_at, 0, 0, 0, 0, 0)
        )

    def attach_device_filter(self, cgroup_fd: int, program_fd: int) -> None:
        """Let a cgroup ask this program too: all attached ones must agree."""
        attributes = struct.pack("=IIII", cgroup_fd, program_fd, _BPF_CGROUP_DEVICE, _BPF_F_ALLOW_MULTI)
        self.bpf(_BPF_PROG_ATTACH, attributes)

    def seccomp_load(self, program: bytes) -> None:
        """Filter this process's system calls with classic BPF for good, seccomp(2). 8 bytes an instruction.

        Needs CAP_SYS_ADMIN or `no_new_privileges`.
        """
        instructions = ctypes.create_string_buffer(program, len(program))
        filter_program = struct.pack("HP", len(program) // 8, ctypes.addressof(instructions))
        _syscall("seccomp", ctypes.c_uint(SECCOMP_SET_MODE_FILTER), ctypes.c_uint(0), filter_program)


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else os.fsencode(text)
