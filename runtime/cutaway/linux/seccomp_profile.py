"""Which system calls a container may make: our default profile, as a table.

The rule is the reverse of a block list: what is not named here fails with EPERM. Left out is what reaches
past the container (kernel modules, the clock, swap, reboot, key rings, which know no namespaces), what makes
new kernel attack surface for no common use (io_uring, userfaultfd, eBPF), and what takes a capability that
the container lacks anyway. Granting the capability brings the calls back.

The effect follows Docker's default profile. Calls newer than this table fail with ENOSYS, so that a C library
takes its older way instead of giving up.
"""

from __future__ import annotations

_FILES = """ access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat
faccessat2 fadvise64 fadvise64_64 arm_fadvise64_64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchown32
fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock fremovexattr fsetxattr fstat fstat64 fstatat64
fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat getcwd getdents getdents64 getxattr getxattrat ioctl
lchown lchown32 lgetxattr link linkat listxattr listxattrat llistxattr lremovexattr lseek _llseek lsetxattr
lstat lstat64 mkdir mkdirat mknod mknodat name_to_handle_at newfstatat open openat openat2 pread64 preadv
preadv2 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv removexattr removexattrat rename
renameat renameat2 rmdir sendfile sendfile64 setxattr setxattrat splice stat stat64 statfs statfs64 statx
symlink symlinkat sync sync_file_range sync_file_range2 arm_sync_file_range syncfs tee truncate truncate64
umask unlink unlinkat utime utimensat utimensat_time64 utimes vmsplice write writev cachestat fanotify_mark
inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents
io_pgetevents_time64 io_setup io_submit landlock_create_ruleset landlock_add_rule landlock_restrict_self
"""
_PROCESSES = """ alarm capget capset execve execveat exit exit_group fork vfork futex futex_time64 futex_waitv
futex_wait futex_wake futex_requeue get_robust_list set_robust_list get_thread_area set_thread_area
set_tid_address getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getpgid getpgrp
getpid getppid getpriority getresgid getresgid32 getresuid getresuid32 getrlimit ugetrlimit getrusage getsid
gettid getuid getuid32 getcpu getitimer setitimer ioprio_get ioprio_set kill tkill tgkill nice pause
pidfd_open pidfd_send_signal prctl arch_prctl prlimit64 process_mrelease ptrace restart_syscall rseq
sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam
sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr
sched_setparam sched_setscheduler sched_yield seccomp setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32
setgroups setgroups32 setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid setresuid32
setreuid setreuid32 setrlimit setsid setuid setuid32 sysinfo times uname wait4 waitid waitpid membarrier
process_vm_readv process_vm_writev map_shadow_stack modify_ldt
"""
_SIGNALS = """ rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaction signal signalfd signalfd4 sigaltstack
sigpending sigprocmask sigreturn sigsuspend
"""
_MEMORY = """ brk madvise memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mmap2 mprotect mremap
mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect remap_file_pages
"""
_WAITING_AND_TIME = """
adjtimex clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64
clock_nanosleep clock_nanosleep_time64 epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait
epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 gettimeofday nanosleep poll ppoll ppoll_time64
pselect6 pselect6_time64 select _newselect time timer_create timer_delete timer_getoverrun timer_gettime
timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime
timerfd_settime64 pipe pipe2 getrandom
"""
_TALKING = """
accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg
recvmmsg_time64 recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair
ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend
mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop semtimedop
semtimedop_time64 shmat shmctl shmdt shmget
"""

ALWAYS: tuple[str, ...] = tuple(
    " ".join((_FILES, _PROCESSES, _SIGNALS, _MEMORY, _WAITING_AND_TIME, _TALKING)).split()
)

_ADMIN = """
bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr move_mount
open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare
"""
BY_CAPABILITY: dict[str, tuple[str, ...]] = {
    "SYS_ADMIN": tuple(_ADMIN.split()),
    "DAC_READ_SEARCH": ("open_by_handle_at",),
    "SYS_BOOT": ("reboot",),
    "SYS_CHROOT": ("chroot",),
    "SYS_MODULE": ("delete_module", "init_module", "finit_module"),
    "SYS_PACCT": ("acct",),
    "SYS_PTRACE": ("kcmp", "pidfd_getfd", "process_madvise"),
    "SYS_RAWIO": ("iopl", "ioperm"),
    "SYS_TIME": ("settimeofday", "stime", "clock_settime", "clock_settime64"),
    "SYS_TTY_CONFIG": ("vhangup",),
    "SYS_NICE": ("get_mempolicy", "mbind", "set_mempolicy", "set_mempolicy_home_node"),
    "SYSLOG": ("syslog",),
    "BPF": ("bpf",),
    "PERFMON": ("perf_event_open",),
}

# Execution domains that are harmless: Linux, BSD, 3 GB limit off and on, and asking for the present one.
PERSONALITIES = (0x0, 0x0008, 0x20000, 0x20008, 0xFFFFFFFF)
# Virtual machine sockets reach the hypervisor: they know no network namespace.
AF_VSOCK = 40
# The CLONE_NEW* bits of clone(2): cgroup, uts, ipc, user, pid, net, mount.
NEW_NAMESPACES = 0x7E020000
