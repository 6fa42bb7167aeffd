"""`update`: other limits for containers, also while they run."""

from __future__ import annotations

from typing import Any

from cutaway.cli import values
from cutaway.cli.client import path_of
from cutaway.cli.failures import CommandError
from cutaway.cli.flags import one
from cutaway.cli.lifecycle import containers_argument, for_each
from cutaway.cli.options import resources, restart_policy
from cutaway.cli.session import Session, pass_session
from cutaway.cli.tree import command


@command("update", examples=["update --memory 256m --memory-swap 512m web", "update --restart always web db"])
@one("--blkio-weight", kind=int, about="Its share of the disks, 10 to 1000.", metavar="N")
@one("--cpu-period", kind=int, about="The span that --cpu-quota counts in.", metavar="MICROSECONDS")
@one("--cpu-quota", kind=int, about="Processor time in each period.", metavar="MICROSECONDS")
@one("--cpu-rt-period", kind=int, about="The same for real-time tasks.", metavar="MICROSECONDS")
@one("--cpu-rt-runtime", kind=int, about="The same for real-time tasks.", metavar="MICROSECONDS")
@one("-c", "--cpu-shares", kind=int, about="Its share when processors are short: 1024.", metavar="N")
@one("--cpus", kind=values.CPUS, about="At most this many processors: 0.5.", metavar="NUMBER")
@one("--cpuset-cpus", about="Only these processors: 0-1, 3.", metavar="CPUS")
@one("--cpuset-mems", about="Only the memory of these nodes: 0.", metavar="NODES")
@one("-m", "--memory", kind=values.SIZE, about="At most this much memory: 64m, 1g.", metavar="BYTES")
@one("--memory-reservation", kind=values.SIZE, about="Left to it when memory is short.", metavar="BYTES")
@one("--memory-swap", kind=values.SWAP, about="Memory and swap; -1: no limit.", metavar="BYTES")
@one("--pids-limit", kind=int, about="At most this many processes; -1: no limit.", metavar="N")
@one("--restart", about="no, always, on-failure[:N], unless-stopped.", metavar="POLICY")
@containers_argument
@pass_session
def update(session: Session, /, *, containers: tuple[str, ...], restart: str | None, **options: Any) -> int:
    """Change the limits or the restart policy of containers. What is not named stays."""
    wishes = {name: value for name, value in resources(options).items() if value is not None}
    try:
        policy = restart_policy(restart)
    except ValueError as error:
        raise CommandError(str(error), "see `update --help`", exit_code=125) from error
    if policy:
        wishes["RestartPolicy"] = policy
    if not wishes:
        raise CommandError(
            "you must provide one or more flags when using this command", "see `update --help`"
        )

    def act(name: str) -> str:
        answer = session.api.json("POST", path_of("containers", name, "update"), wishes)
        for warning in answer.get("Warnings") or ():
            session.streams.err(f"WARNING: {warning}")
        return name

    return for_each(session, containers, act)
