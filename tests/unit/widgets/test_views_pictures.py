from __future__ import annotations

import base64
import re
import xml.etree.ElementTree as ElementTree
from copy import deepcopy
from typing import Any

import pytest
import samples

from cutaway_jupyter.widgets.layers.picture import describe as describe_layers
from cutaway_jupyter.widgets.layers.picture import draw as draw_layers
from cutaway_jupyter.widgets.layers.widget import LayersView, instruction
from cutaway_jupyter.widgets.namespaces.blocks import KINDS, arrange
from cutaway_jupyter.widgets.namespaces.picture import describe as describe_namespaces
from cutaway_jupyter.widgets.namespaces.picture import draw as draw_namespaces
from cutaway_jupyter.widgets.namespaces.widget import NamespacesView
from cutaway_jupyter.widgets.words import Words, table

SVG = "{http://www.w3.org/2000/svg}"


class Answers:
    """An engine that gives the samples."""

    def layers(self, name: str) -> dict[str, Any]:
        return samples.layers()

    def namespaces(self, names: tuple[str, ...]) -> dict[str, Any]:
        return samples.namespaces()

    def files(self, data: dict[str, Any], layer: str, path: str) -> dict[str, Any]:
        return samples.files()


def layers_view(language: str = "en") -> LayersView:
    return LayersView(Answers(), "web", language=language)  # type: ignore[arg-type]


def namespaces_view(language: str = "en") -> NamespacesView:
    return NamespacesView(Answers(), (), language=language)  # type: ignore[arg-type]


def texts(svg: str) -> list[str]:
    return ["".join(node.itertext()) for node in ElementTree.fromstring(svg).iter(f"{SVG}text")]


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("view", [layers_view, namespaces_view])
def test_a_view_is_shown_with_a_picture_and_a_sentence_beside_it(view: Any, language: str) -> None:
    bundle, _ = view(language)._repr_mimebundle_()
    assert set(bundle) == {"application/vnd.jupyter.widget-view+json", "text/html", "text/plain"}
    image = r'<img src="data:image/svg\+xml;base64,([^"]+)" alt="([^"]+)".*>'
    found = re.fullmatch(image, bundle["text/html"])
    assert found
    picture = ElementTree.fromstring(base64.b64decode(found[1]))
    assert picture.get("width") == "820"
    assert picture.findtext(f"{SVG}desc") == bundle["text/plain"]


def test_markup_in_a_name_stays_text() -> None:
    bundle, _ = layers_view()._repr_mimebundle_()
    assert "<b>" not in bundle["text/html"]
    data = layers_view().data
    data["image"]["name"] = '"><script>alert(1)</script>'
    assert '"><script>alert(1)</script>' in texts(draw_layers(data))


def test_the_layers_picture_reads_upwards_with_the_writable_layer_on_top() -> None:
    lines = ["writable", "CMD", "RUN", "COPY", "RUN", "WORKDIR", "FROM"]
    words = [text.split(" ")[0] for text in texts(draw_layers(layers_view().data))]
    assert [word for word in words if word in lines] == lines


def test_the_layers_sentence_names_the_base_and_counts_what_the_container_did() -> None:
    assert describe_layers(layers_view().data) == (
        "Image lab/first:latest: 948 kB + busybox:latest in 5 layers, lowest first: "
        "FROM busybox:latest; WORKDIR /srv; "
        "RUN dd if=/dev/zero of=/srv/big bs=…; COPY app /srv/app; RUN rm /srv/big. "
        "Container web has a writable layer on top: 3 added, 1 changed, 1 deleted."
    )


def test_steps_are_counted_as_in_the_dockerfile_whatever_the_base_image_had() -> None:
    steps = [(line["step"], line["instruction"].split()[0]) for line in layers_view().data["lines"]]
    assert steps == [(1, "FROM"), (2, "WORKDIR"), (3, "RUN"), (4, "COPY"), (5, "RUN"), (6, "CMD")]


def test_a_layers_picture_is_the_same_after_another_run_of_the_lesson() -> None:
    first, second = layers_view().data, layers_view().data
    second["image"]["id"] = "sha256:" + "f" * 64
    second["container"]["id"] = "9" * 64
    for line in second["lines"]:
        line["created"] = "2030-01-01T00:00:00Z"
    of_another_distribution = {"size": 2_090_000, "added": 402, "diff_id": "sha256:" + "e" * 64}
    second["lines"][0]["layer"].update(of_another_distribution)
    assert draw_layers(first) == draw_layers(second)


def test_a_namespaces_picture_is_the_same_after_another_run_on_another_machine() -> None:
    first, second = namespaces_view().data, deepcopy(namespaces_view().data)
    second["rows"][0]["name"] = "lab-08"
    for block in second["blocks"]:
        block["inode"] = block["inode"] and block["inode"] + 1000
        if block["kind"] == "net":
            block["content"] = {"text": "eth0 172.18.0.2"}
        if block["kind"] == "pid":
            block["content"] = {"word": "processes", "n": 9}
    second["processes"] = []
    assert draw_namespaces(first) == draw_namespaces(second)


def test_the_namespaces_sentences_say_own_shared_and_open() -> None:
    assert describe_namespaces(namespaces_view().data) == (
        "web has its own mnt, ipc, uts and cgroup. debug has its own mnt, ipc, uts and cgroup. "
        "ended is not running: it has no namespaces. web and debug share pid and net. "
        "The host's user and time show through."
    )


def test_rows_with_one_inode_become_one_block() -> None:
    blocks = {(block["kind"], block["row"]): block for block in arrange(samples.namespaces()["rows"])}
    assert (blocks["pid", 1]["shape"], blocks["pid", 1]["containers"]) == ("share", ["web", "debug"])
    assert (blocks["user", 0]["shape"], blocks["user", 0]["span"]) == ("open", 3)
    assert (blocks["mnt", 1]["shape"], blocks["mnt", 2]["shape"]) == ("own", "own")
    assert all(blocks[kind, 3]["shape"] == "none" for kind in KINDS)


def test_rows_that_are_apart_still_say_that_they_share() -> None:
    host, web, debug, _ = samples.namespaces()["rows"]
    between = samples.row("between", samples.INODE + 300)
    shapes = [block["shape"] for block in arrange([host, web, between, debug]) if block["kind"] == "pid"]
    assert shapes == ["host", "share", "own", "share"]


@pytest.mark.parametrize(
    ("history", "line"),
    [
        ('/bin/sh -c #(nop)  CMD ["sh"]', 'CMD ["sh"]'),
        ("/bin/sh -c apt-get update", "RUN apt-get update"),
        ("RUN /bin/sh -c apt-get update # buildkit", "RUN apt-get update"),
        ("|1 A=b /bin/sh -c echo $A", "RUN echo $A"),
        ("COPY app /srv # buildkit", "COPY app /srv"),
    ],
)
def test_an_instruction_reads_as_in_the_dockerfile(history: str, line: str) -> None:
    assert instruction(history) == line


@pytest.mark.parametrize("view", ["layers", "namespaces"])
def test_every_language_has_every_word(view: str) -> None:
    words = table(view)
    assert set(words["en"]) == set(words["zh"])


def test_a_word_chooses_between_one_and_many() -> None:
    words = Words("namespaces")
    assert (words("processes", n=1), words("processes", n=1200)) == ("1 process", "1,200 processes")


def test_a_files_message_is_answered_with_the_folder_that_was_asked_for() -> None:
    answer = layers_view().answer({"kind": "files", "layer": 3, "path": "/etc"})
    assert answer is not None
    assert (answer["layer"], answer["path"], len(answer["entries"])) == (3, "/etc", 5)
