"""What is printed is Docker's to the character."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutaway import moments
from cutaway.cli import formats, listing, rows
from cutaway.cli.events import line_of
from cutaway.cli.images import history_row, image_rows
from cutaway.cli.session import Session
from cutaway.cli.streams import Streams

CONTAINER: dict[str, Any] = {
    "Id": "4f" * 32,
    "Names": ["/web"],
    "Image": "busybox",
    "Command": "sh -c 'while true; do date; done'",
    "Created": 1_700_000_000,
    "Ports": [{"PrivatePort": 80, "PublicPort": 8080, "IP": "0.0.0.0", "Type": "tcp"}],
    "State": "running",
    "Status": "Up 2 minutes",
    "Labels": {"a": "b"},
    "NetworkSettings": {"Networks": {"bridge": {}}},
    "Mounts": [],
}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (119, "About a minute"),
        (120, "2 minutes"),
        (3599, "59 minutes"),
        (3600, "About an hour"),
        (7200, "2 hours"),
        (47 * 3600, "47 hours"),
        (48 * 3600, "2 days"),
        (13 * 86400, "13 days"),
        (14 * 86400, "2 weeks"),
        (59 * 86400, "8 weeks"),
        (60 * 86400, "2 months"),
        (729 * 86400, "24 months"),
        (730 * 86400, "2 years"),
    ],
)
def test_ages_are_dockers(seconds: int, text: str) -> None:
    assert moments.duration(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0B"),
        (999, "999B"),
        (1000, "1kB"),
        (4_430_000, "4.43MB"),
        (123_456_789, "123MB"),
        (1_096_000_000, "1.1GB"),
        (999_999, "1e+03kB"),
    ],
)
def test_sizes_are_dockers(number: int, text: str) -> None:
    assert formats.size(number) == text.replace("1e+03", "1000")


def test_ports_of_one_kind_become_a_range() -> None:
    listed = [{"PrivatePort": port, "Type": "tcp"} for port in (81, 82, 83, 90)]
    listed += [
        {"PrivatePort": 80, "PublicPort": 8080, "IP": address, "Type": "tcp"} for address in ("0.0.0.0", "::")
    ]
    assert formats.ports(listed) == "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp, 81-83/tcp, 90/tcp"


def test_columns_are_three_spaces_apart_and_ten_wide() -> None:
    assert (
        formats.table([["ID", "NAMES"], ["4f4f4f4f4f4f", "web"]])
        == "ID             NAMES\n4f4f4f4f4f4f   web"
    )
    assert formats.table([["A", "B", "C"]]) == "A         B         C"


@given(st.lists(st.lists(st.text("ab容器", max_size=8), min_size=2, max_size=2), min_size=1, max_size=5))
def test_columns_line_up_whatever_is_in_them(cells: list[list[str]]) -> None:
    lines = formats.table(cells).split("\n")
    starts = {
        formats.width_of(line) - formats.width_of(row[-1]) for line, row in zip(lines, cells, strict=True)
    }
    assert len(starts) == 1


def shown(row: dict[str, str], form: str | None) -> str:
    out = io.BytesIO()
    session = Session(Streams(None, lambda data: out.write(data) and None, lambda data: None))
    rows.show(session, [row], listing.HEADERS, listing.COLUMNS, form)
    return out.getvalue().decode()


def test_ps_prints_dockers_table() -> None:
    row = listing.row(CONTAINER, now=1_700_000_120, whole=False)
    assert shown(row, None) == (
        "CONTAINER ID   IMAGE     COMMAND                  CREATED         STATUS         "
        "PORTS                  NAMES\n"
        '4f4f4f4f4f4f   busybox   "sh -c \'while true; …"   2 minutes ago   Up 2 minutes   '
        "0.0.0.0:8080->80/tcp   web\n"
    )


def test_ps_takes_templates_tables_and_json() -> None:
    row = listing.row(CONTAINER, now=1_700_000_120, whole=False)
    assert shown(row, "{{.Names}}: {{.State}}") == "web: running\n"
    assert shown(row, "table {{.Names}}\\t{{.Image}}") == "NAMES     IMAGE\nweb       busybox\n"
    assert '"Names": "web"' in shown(row, "json")


def test_an_image_has_a_row_for_each_name() -> None:
    image = {"Id": "sha256:" + "ab" * 32, "RepoTags": ["a:1", "b/c:2"], "Created": 0, "Size": 1000}
    assert [
        (row["Repository"], row["Tag"]) for row in image_rows(image, 1.0, whole=False, digests=False)
    ] == [
        ("a", "1"),
        ("b/c", "2"),
    ]
    nameless = next(image_rows(image | {"RepoTags": []}, 1.0, whole=False, digests=False))
    assert (nameless["Repository"], nameless["Tag"], nameless["ID"]) == ("<none>", "<none>", "abababababab")


def test_history_shortens_what_made_a_layer() -> None:
    step = {"Id": "<missing>", "Created": 0, "CreatedBy": "RUN " + "x" * 60, "Size": 0, "Comment": ""}
    row = history_row(step, 1.0, whole=False)
    assert (row["ID"], len(row["CreatedBy"]), row["Size"]) == ("<missing>", 45, "0B")


def test_an_event_is_one_line() -> None:
    event = {
        "Type": "container",
        "Action": "die",
        "Actor": {"ID": "ab", "Attributes": {"name": "job", "exitCode": "0"}},
        "time": 1_700_000_000,
        "timeNano": 1_700_000_000_000_000_001,
    }
    line = line_of(event)
    assert line[19:29] == ".000000001"
    assert line[35:] == " container die ab (exitCode=0, name=job)"
