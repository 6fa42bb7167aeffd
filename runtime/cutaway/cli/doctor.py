"""`doctor`: what this machine permits. Our engine answers; where none runs, this process tries."""

from __future__ import annotations

import dataclasses
from typing import Any

import click

from cutaway.cli import autostart
from cutaway.cli.session import Session, pass_session
from cutaway.cli.tree import command


@command("doctor", examples=["doctor"])
@click.option("-v", "--verbose", is_flag=True, help="Details of what works too.")
@pass_session
def doctor(session: Session, *, verbose: bool) -> int:
    """Tell what this machine permits, by trying it. Ends with 1 when something is missing."""
    findings = _findings(session)
    width = max((len(finding["name"]) for finding in findings), default=0)
    for finding in findings:
        sign = "works  " if finding["works"] else "missing"
        detail = finding["detail"] if verbose or not finding["works"] else ""
        session.streams.out(f"{sign}  {finding['name']:<{width}}  {detail}".rstrip())
        if finding["hint"] and not finding["works"]:
            session.streams.out(f"{'':9}hint: {finding['hint']}")
    missing = sum(not finding["works"] for finding in findings)
    session.streams.out(f"{len(findings) - missing} of {len(findings)} work")
    return 1 if missing else 0


def _findings(session: Session) -> list[dict[str, Any]]:
    """What the engine finds, for its rights count; without a running one, what this process finds."""
    if session.other_engine or autostart.listens(session.settings.socket):
        found: list[dict[str, Any]] = session.api.json("GET", "/cutaway/doctor")
        return found
    from cutaway.linux import probe

    return [dataclasses.asdict(finding) for finding in probe.probe()]
