"""`ps`: the containers."""

from __future__ import annotations

import time
from typing import Any

import click

from cutaway.cli import formats, rows, values
from cutaway.cli.session import Session, pass_session
from cutaway.cli.tree import command

HEADERS = {
    "ID": "CONTAINER ID", "Image": "IMAGE", "Command": "COMMAND", "CreatedAt": "CREATED AT",
    "RunningFor": "CREATED", "Ports": "PORTS", "State": "STATE", "Status": "STATUS", "Size": "SIZE",
    "Names": "NAMES", "Labels": "LABELS", "Mounts": "MOUNTS", "LocalVolumes": "LOCAL VOLUMES",
    "Networks": "NETWORKS",
}  # fmt: skip
COLUMNS = ("ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names")


@command("ps", examples=["ps -a", "ps --filter status=exited --format '{{.Names}} {{.Status}}'"])
@click.option("-a", "--all", "everything", is_flag=True, help="Those that have ended too.")
@click.option("-q", "--quiet", is_flag=True, help="Only the ids.")
@click.option("-l", "--latest", is_flag=True, help="The one that was made last, whatever its state.")
@click.option("-n", "--last", type=int, metavar="N", help="The N that were made last.")
@click.option("-s", "--size", is_flag=True, help="How much each has written.")
@click.option("--no-trunc", is_flag=True, help="Do not shorten.")
@click.option(
    "-f", "--filter", "conditions", multiple=True, metavar="NAME=VALUE", help="Only those that match."
)
@click.option("--format", "form", metavar="TEMPLATE", help="A Go template, `table TEMPLATE`, or json.")
@pass_session
def ps(
    session: Session, *, everything: bool, quiet: bool, latest: bool, last: int | None, size: bool,
    no_trunc: bool, conditions: tuple[str, ...], form: str | None,
) -> int:  # fmt: skip
    """List containers."""
    limit = 1 if latest else last
    size = size or (form is not None and ".Size" in form)
    listed = session.api.json(
        "GET", "/containers/json", all=everything, limit=limit, size=size, filters=values.filters(conditions)
    )
    made = [row(container, now=time.time(), whole=no_trunc) for container in listed]
    if quiet and not form:
        form = "{{.ID}}"
    rows.show(session, made, HEADERS, (*COLUMNS, "Size") if size else COLUMNS, form)
    return 0


def row(container: dict[str, Any], *, now: float, whole: bool) -> dict[str, str]:
    """The columns of one entry of `GET /containers/json`. `whole`: nothing is shortened."""
    words = container.get("Command") or ""
    image, identity = container["Image"], container["Id"]
    names = [name.lstrip("/") for name in container.get("Names") or ()]
    mounts = [mount.get("Name") or mount.get("Source", "") for mount in container.get("Mounts") or ()]
    networks = (container.get("NetworkSettings") or {}).get("Networks") or {}
    return {
        "ID": identity if whole else formats.short_id(identity),
        "Image": image if whole or not image.startswith("sha256:") else formats.short_id(image),
        "Command": f'"{words if whole else formats.shortened(words, 20)}"',
        "CreatedAt": formats.moment(container["Created"]),
        "RunningFor": formats.ago(container["Created"], now),
        "Ports": formats.ports(container.get("Ports") or ()),
        "State": container.get("State", ""),
        "Status": container.get("Status", ""),
        "Size": _size(container),
        "Names": ",".join(name for name in names if "/" not in name or whole),
        "Labels": ",".join(f"{name}={value}" for name, value in (container.get("Labels") or {}).items()),
        "Mounts": ",".join(mount if whole else formats.shortened(mount, 15) for mount in mounts),
        "LocalVolumes": str(sum(bool(mount.get("Name")) for mount in container.get("Mounts") or ())),
        "Networks": ",".join(networks),
    }


def _size(container: dict[str, Any]) -> str:
    written, virtual = container.get("SizeRw") or 0, container.get("SizeRootFs") or 0
    text = formats.size(written)
    return f"{text} (virtual {formats.size(virtual)})" if virtual else text
