"""What a cell's line becomes before the command sees it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutaway.cli.failures import CommandError
from cutaway_jupyter.magics.cells import build_words
from cutaway_jupyter.magics.expand import words_of

VARIABLES = {"name": "web", "many": ["a", "b"], "empty": "", "number": 3, "two": "x y"}


def run(command: str) -> str:
    return {"ps -q": "1\n2\n", "nothing": "", "%container x": "no"}.get(command, f"<{command}>")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("run busybox echo hi", ["run", "busybox", "echo", "hi"]),
        ("rm -f $(ps -q)", ["rm", "-f", "1", "2"]),
        ('echo "$(ps -q)"', ["echo", "1\n2"]),
        ("rm $(nothing)", ["rm"]),
        ("a$(ps -q)b", ["a1", "2b"]),
        ("logs $name", ["logs", "web"]),
        ("logs ${name}2", ["logs", "web2"]),
        ("rm $many", ["rm", "a", "b"]),
        ('echo "$two" $two', ["echo", "x y", "x", "y"]),
        ("-n $number", ["-n", "3"]),
        ("echo '$name $(ps -q)'", ["echo", "$name $(ps -q)"]),
        (r"echo \$name", ["echo", "$name"]),
        ("sh -c 'echo $A'", ["sh", "-c", "echo $A"]),
        ("echo $not_there_at_all", ["echo", "$not_there_at_all"]),
        ("inspect -f '{{.State.Status}}' x", ["inspect", "-f", "{{.State.Status}}", "x"]),
        ("ps --format {{.Names}}", ["ps", "--format", "{{.Names}}"]),
        ("echo '' \"\" $empty", ["echo", "", ""]),
        ("echo a$ $", ["echo", "a$", "$"]),
        ("echo $((1+2))", ["echo", "<(1+2)>"]),
        ("rm $(a $(b))", ["rm", "<a", "$(b)>"]),
        ("", []),
    ],
)
def test_a_line_becomes_words(line: str, words: list[str]) -> None:
    assert words_of(line, VARIABLES, run) == words


def test_pwd_is_the_notebooks_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert words_of("run -v $(pwd)/site:/www", {}, run) == ["run", "-v", f"{tmp_path}/site:/www"]


def test_the_environment_comes_after_the_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("name", "outside")
    monkeypatch.setenv("OTHER", "there")
    assert words_of("$name $OTHER ~", VARIABLES, run) == ["web", "there", os.path.expanduser("~")]  # noqa: PTH111


@pytest.mark.parametrize("line", ["echo 'a", 'echo "a', "rm $(ps"])
def test_what_is_not_closed_is_shown(line: str) -> None:
    with pytest.raises(CommandError, match="is not closed"):
        words_of(line, {}, run)


@given(st.text("a $'\"\\()~{}", max_size=20))
def test_any_line_becomes_words_or_is_refused(line: str) -> None:
    try:
        words_of(line, VARIABLES, run)
    except CommandError:
        return


def test_a_dockerfile_cell_is_the_input_of_a_build() -> None:
    assert build_words(["-t", "x"], "FROM busybox") == ["build", "-t", "x", "-"]
    assert build_words(["-t", "x", "site"], "COPY a b") == ["build", "-f", "-", "-t", "x", "site"]
    assert build_words(["-t", "x"], "COPY --from=one a b\nADD <<E /x") == ["build", "-t", "x", "-"]


@pytest.mark.parametrize(
    ("words", "cell", "message"),
    [
        (["-t", "x"], "FROM b\ncopy a b", "the cell copies files, and no folder is named to copy from"),
        (["-f", "D"], "FROM b", "the cell is the Dockerfile"),
        (["a", "b"], "FROM b", "%%dockerfile takes one folder, not 2"),
    ],
)
def test_a_dockerfile_cell_that_cannot_work_is_refused(words: list[str], cell: str, message: str) -> None:
    with pytest.raises(CommandError) as caught:
        build_words(words, cell)
    assert caught.value.message == message
