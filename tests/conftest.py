"""What every test shares: who needs root, and that the machine is left as it was found.

Each engine of a test is checked when it ends (`integration/harness.py`). Here the machine as a whole is
compared, before the first test and after the last one, so that nothing escapes between the fixtures.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

SETTLE_SECONDS = 10.0
BEFORE = pytest.StashKey[set[str]]()
KEEPER_OR_ENGINE = re.compile(rb"cutaway\.(container\.keeper|cli\.main|api\.server)")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.geteuid() == 0:
        return
    skip = pytest.mark.skip(reason="needs root: namespaces, mounts, cgroups")
    for item in items:
        if item.get_closest_marker("root"):
            item.add_marker(skip)


def pytest_sessionstart(session: pytest.Session) -> None:
    # a shell that starts the tests in the background has them ignore ^C, and what they start too
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if not hasattr(session.config, "workerinput"):  # the one process that outlives all workers
        session.config.stash[BEFORE] = machine()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    before = session.config.stash.get(BEFORE, None)
    if before is None:
        return
    end = time.monotonic() + SETTLE_SECONDS
    while (left := machine() - before) and time.monotonic() < end:
        time.sleep(0.1)  # the kernel takes interfaces of dead namespaces away in its own time
    if left:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.write_line("")
            for line in sorted(left):
                reporter.write_line(f"LEFT BEHIND by the test run: {line}", red=True)


def machine() -> set[str]:
    """Everything on this machine that an engine of any name may have made, one line each."""
    interfaces = [path.name for path in Path("/sys/class/net").iterdir()]
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    forward = Path("/proc/sys/net/ipv4/ip_forward").read_text().strip()
    return {
        *(f"interface {name}" for name in interfaces if re.fullmatch(r"cutaway\w+|ca[0-9a-f]{10}", name)),
        *(f"mount {point}" for point in mounts if "cutaway" in point),
        *(f"cgroup {path}" for path in Path("/sys/fs/cgroup").glob("**/cutaway*") if path.is_dir()),
        *(f"network namespace {path}" for path in Path("/run/netns").glob("*")),
        *(f"process {line}" for line in processes()),
        *(f"nftables {line}" for line in tables() if "cutaway" in line),
        f"ip_forward {forward}",
    }


def processes() -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes()
        except OSError:
            continue  # it ended between the two
        if KEEPER_OR_ENGINE.search(command):
            found.append(f"{path.parent.name} {command.replace(bytes(1), b' ').decode(errors='replace')}")
    return found


def tables() -> list[str]:
    try:
        listed = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return []
    return listed.stdout.splitlines()
