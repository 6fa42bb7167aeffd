"""The only place that talks to the kernel: ctypes, /proc, /sys, netlink."""
