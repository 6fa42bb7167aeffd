"""Images: list them, read their history, name and unname them; `images bootstrap` makes base images."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import click

from cutaway.cli import formats, rows, values
from cutaway.cli.client import path_of
from cutaway.cli.failures import CommandError
from cutaway.cli.lifecycle import for_each
from cutaway.cli.session import Session, pass_session
from cutaway.cli.tree import command

HEADERS = {
    "ID": "IMAGE ID", "Repository": "REPOSITORY", "Tag": "TAG", "Digest": "DIGEST", "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT", "Size": "SIZE",
}  # fmt: skip
HISTORY_HEADERS = {
    "ID": "IMAGE", "CreatedSince": "CREATED", "CreatedAt": "CREATED AT", "CreatedBy": "CREATED BY",
    "Size": "SIZE", "Comment": "COMMENT",
}  # fmt: skip
BASE_IMAGES = ("busybox", "debian")


@command(
    "images",
    examples=[
        "images",
        "images --format '{{.Repository}}:{{.Tag}}' busybox",
        "images bootstrap busybox debian",
    ],
)
@click.option("-a", "--all", "everything", is_flag=True, help="Images between the steps of builds too.")
@click.option("-q", "--quiet", is_flag=True, help="Only the ids.")
@click.option("--no-trunc", is_flag=True, help="Do not shorten.")
@click.option("--digests", is_flag=True, help="The manifests' digests too.")
@click.option(
    "-f", "--filter", "conditions", multiple=True, metavar="NAME=VALUE", help="Only those that match."
)
@click.option("--format", "form", metavar="TEMPLATE", help="A Go template, `table TEMPLATE`, or json.")
@click.argument("words", nargs=-1, metavar="[REPOSITORY[:TAG]] | bootstrap [NAME...]")
@pass_session
def images(
    session: Session, *, everything: bool, quiet: bool, no_trunc: bool, digests: bool,
    conditions: tuple[str, ...], form: str | None, words: tuple[str, ...],
) -> int:  # fmt: skip
    """List images, or make base images: `images bootstrap` needs no registry.

    It makes busybox and debian of the distribution's packages, and says where each came from.
    """
    if words[:1] == ("bootstrap",):
        return _bootstrap(session, words[1:] or BASE_IMAGES)
    if len(words) > 1:
        raise CommandError("images takes one name at most", "`images bootstrap NAME…` makes base images")
    wanted = values.filters(conditions) or {}
    if words:
        wanted["reference"] = [*wanted.get("reference", []), words[0]]
    listed = session.api.json("GET", "/images/json", all=everything, filters=wanted or None, digests=digests)
    made = [
        row for image in listed for row in image_rows(image, time.time(), whole=no_trunc, digests=digests)
    ]
    columns = ("Repository", "Tag", *(("Digest",) if digests else ()), "ID", "CreatedSince", "Size")
    if quiet and not form:
        made, form = list({row["ID"]: row for row in made}.values()), "{{.ID}}"
    rows.show(session, made, HEADERS, columns, form)
    return 0


def image_rows(image: dict[str, Any], now: float, *, whole: bool, digests: bool) -> Iterator[dict[str, str]]:
    """The columns of one entry of `GET /images/json`: a row for each of its names."""
    base = {
        "ID": image["Id"] if whole else formats.short_id(image["Id"]),
        "CreatedSince": formats.ago(image["Created"], now),
        "CreatedAt": formats.moment(image["Created"]),
        "Size": formats.size(image["Size"]),
    }
    by_repository = dict(text.split("@", 1) for text in image.get("RepoDigests") or () if "@" in text)
    for name in image.get("RepoTags") or ["<none>:<none>"]:
        repository, _, tag = name.rpartition(":")
        yield base | {"Repository": repository, "Tag": tag, "Digest": by_repository.get(repository, "<none>")}


@command("history", examples=["history debian", "history --no-trunc web"])
@click.option("-q", "--quiet", is_flag=True, help="Only the ids.")
@click.option("--no-trunc", is_flag=True, help="Do not shorten.")
@click.option("--format", "form", metavar="TEMPLATE", help="A Go template, `table TEMPLATE`, or json.")
@click.argument("image")
@pass_session
def history(session: Session, *, image: str, quiet: bool, no_trunc: bool, form: str | None) -> int:
    """List the steps that made an image, the newest first."""
    steps = session.api.json("GET", path_of("images", image, "history"))
    made = [history_row(step, time.time(), whole=no_trunc) for step in steps]
    columns = ("ID", "CreatedSince", "CreatedBy", "Size", "Comment")
    rows.show(session, made, HISTORY_HEADERS, columns, "{{.ID}}" if quiet and not form else form)
    return 0


def history_row(step: dict[str, Any], now: float, *, whole: bool) -> dict[str, str]:
    """The columns of one entry of `GET /images/{name}/history`."""
    by = step["CreatedBy"].replace("\t", " ")
    missing = step["Id"] in ("", "<missing>")
    return {
        "ID": "<missing>" if missing else step["Id"] if whole else formats.short_id(step["Id"]),
        "CreatedSince": formats.ago(step["Created"], now),
        "CreatedAt": formats.moment(step["Created"]),
        "CreatedBy": by if whole else formats.shortened(by, 45),
        "Size": formats.size(step["Size"]),
        "Comment": step.get("Comment") or "",
    }


@command("tag", examples=["tag web shop/web:1.0"])
@click.argument("image")
@click.argument("name")
@pass_session
def tag(session: Session, *, image: str, name: str) -> int:
    """Give an image a further name."""
    repository, label = name, ""
    if ":" in name.rpartition("/")[2]:
        repository, _, label = name.rpartition(":")
    session.api.json("POST", path_of("images", image, "tag"), repo=repository, tag=label)
    return 0


@command("rmi", examples=["rmi web:old"])
@click.option("-f", "--force", is_flag=True, help="Although a stopped container was made of it.")
@click.option("--no-prune", is_flag=True, help="Keep its nameless parents.")
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@pass_session
def rmi(session: Session, *, images: tuple[str, ...], force: bool, no_prune: bool) -> int:
    """Take names from images; an image without a name is deleted."""
    api = session.api

    def remove(name: str) -> str:
        done = api.json("DELETE", path_of("images", name), force=force, noprune=no_prune)
        return "\n".join(f"{deed}: {what}" for step in done for deed, what in step.items())

    return for_each(session, images, remove)


def _bootstrap(session: Session, names: tuple[str, ...]) -> int:
    from cutaway.cli.transfer import show_progress

    for name in names:
        lines = session.api.lines("POST", "/cutaway/images/bootstrap", name=name)
        show_progress(session, lines, to_stderr=False)
    return 0
