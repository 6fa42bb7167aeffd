"""Docker's longer names: the commands about one kind of thing below its name, `container ls` beside `ps`."""

from __future__ import annotations

from cutaway.cli.tree import SECTIONS, Noun

CONTAINER_PLACES = {
    **{name: place for name, place in SECTIONS["Containers"].items() if name not in ("container", "ps")},
    "ls": "listing:ps",
    "list": "listing:ps",
    "ps": "listing:ps",
    "prune": "lifecycle:prune",
}

container = Noun(
    "container",
    dict(sorted(CONTAINER_PLACES.items())),
    examples=["container ls -a", "container prune -f --filter until=24h"],
    subcommand_metavar="COMMAND",
    options_metavar="",
    help="Everything about containers, by Docker's longer names.",
)
