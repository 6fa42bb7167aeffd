"""`explain`: what a command would ask the kernel for. The plan is made, printed, and not run."""

from __future__ import annotations

import re
from typing import Any

import click

from cutaway.cli.failures import CommandError
from cutaway.cli.options import create_body
from cutaway.cli.session import Session, pass_session
from cutaway.cli.tree import command, root

_ID = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")
PHASES = {
    "before": "before there is a process",
    "clone": "the process",
    "beside": "beside it, from outside",
    "inside": "inside it",
    "after": "when it has ended",
}


@command("explain", examples=["explain run --rm -m 64m busybox true"], program_follows=True)
@click.option("--calls/--no-calls", default=True, help="The system calls under each sentence.")
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED, metavar="COMMAND...")
@pass_session
def explain(session: Session, *, words: tuple[str, ...], calls: bool) -> int:
    """Print what `run` or `create` would ask the kernel for, and ask for nothing."""
    name, *rest = words
    if name not in ("run", "create"):
        raise CommandError(f"explain has no plan for {name}", "explain run … prints the steps of a container")
    parent = click.Context(root, info_name=session.program, obj=session)
    explained = root.get_command(parent, name)
    assert explained is not None
    with explained.make_context(name, list(rest), parent=parent) as context:
        options = dict(context.params)
    image, program = options.pop("image"), options.pop("words")
    body = create_body(image, program, options)
    plan = session.api.json("POST", "/cutaway/plan", body, name=options["name"])
    for line in plan_lines(plan["steps"], calls=calls):
        session.streams.out(line)
    return 0


def plan_lines(steps: list[dict[str, Any]], *, calls: bool) -> list[str]:
    """Numbered sentences under the names of their phases, each with its system calls."""
    lines: list[str] = []
    phase = ""
    for number, step in enumerate(steps, 1):
        if step["phase"] != phase:
            phase = step["phase"]
            lines += ([""] if lines else []) + [PHASES.get(phase, phase)]
        lines.append(f"{number:>4}  {_short(step['text'])}")
        if calls:
            lines += [f"        {_short(call)}" for call in step["calls"]]
    return lines


def _short(text: str) -> str:
    """Ids are shortened: a plan's container has no real one, and 64 digits hide the rest of a path."""
    return _ID.sub(r"\1…", text)
