"""`top`: the processes of a container, as this machine numbers them.

Without options they are read from `/proc`, in the columns of `ps -ef`. With options Docker lets `ps` list
every process of the machine and keeps the lines whose PID is in the container's control group; so do we.
(moby, daemon/top_unix.go; proc_pid_stat(5))
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shutil
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cutaway.errors import BadInputError, NotSupportedError

TITLES = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
_DEFAULT = ("", "-ef")


def top(pids: Iterable[int], options: str = "") -> dict[str, Any]:
    """Docker's `Titles` and `Processes`.

    Raises BadInputError for options that `ps` refuses or that hide the PID, NotSupportedError without `ps`.
    """
    wanted = sorted(pids)
    if options in _DEFAULT:
        return {"Titles": TITLES, "Processes": list(_from_proc(wanted))}
    if re.search(r"\w+=[^,\s]*PID", options):
        raise BadInputError(f'specifying "{options}" is not allowed', "PID has to be the name of its column")
    lines = _ps(options).splitlines()
    titles = lines[0].split() if lines else []
    if "PID" not in titles:
        raise BadInputError("Couldn't find PID field in ps output", "add pid to the columns: -o pid,comm")
    place, known = titles.index("PID"), {str(pid) for pid in wanted}
    processes = []
    for line in lines[1:]:
        fields = line.split(maxsplit=len(titles) - 1)
        if len(fields) == len(titles) and fields[place] in known:
            processes.append(fields)
    return {"Titles": titles, "Processes": processes}


def _ps(options: str) -> str:
    program = shutil.which("ps")
    if program is None:
        raise NotSupportedError(
            "top with options needs the program ps", "apt install procps, or leave them out"
        )
    # C: one line for each process in columns, whatever the teacher's language is
    done = subprocess.run(
        [program, *options.split()], check=False, capture_output=True, text=True, errors="replace",
        stdin=subprocess.DEVNULL, timeout=10, env={"LC_ALL": "C", "PATH": os.defpath},
    )  # fmt: skip
    if done.returncode != 0:
        message = (done.stderr.strip().splitlines() or ["no output"])[0]
        raise BadInputError(f"ps {options}: {message}", "the options are those of ps: -o pid,comm or aux")
    return done.stdout


def _from_proc(pids: Iterable[int]) -> Iterable[list[str]]:
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended meanwhile
            yield _process(pid)


def _process(pid: int) -> list[str]:
    folder = Path(f"/proc/{pid}")
    stat = (folder / "stat").read_text()
    name = stat[stat.index("(") + 1 : stat.rindex(")")]
    fields = stat[stat.rindex(")") + 2 :].split()
    ticks = os.sysconf("SC_CLK_TCK")
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    age = max(0.001, uptime - int(fields[19]) / ticks)
    used = (int(fields[11]) + int(fields[12])) / ticks
    words = (folder / "cmdline").read_bytes().split(b"\0")[:-1]
    command = " ".join(word.decode(errors="replace") for word in words) or f"[{name}]"
    clock = f"{int(used) // 3600:02}:{int(used) // 60 % 60:02}:{int(used) % 60:02}"
    started = time.strftime("%H:%M" if age < 86400 else "%b%d", time.localtime(time.time() - age))
    terminal = "?" if fields[4] == "0" else f"pts/{int(fields[4]) & 0xFF}"
    share = str(min(99, int(100 * used / age)))
    return [_user(folder.stat().st_uid), str(pid), fields[1], share, started, terminal, clock, command]


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
