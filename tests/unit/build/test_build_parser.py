"""A Dockerfile's text becomes logical lines that know where they stood."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutaway.build.failures import DockerfileError
from cutaway.build.parser import parse


def texts(source: str) -> list[tuple[int, str, str]]:
    return [(line.number, line.keyword, line.rest) for line in parse(source).lines]


def test_each_instruction_knows_its_line() -> None:
    source = "# a comment\n\nFROM busybox\nrun  echo hi  \n"
    assert texts(source) == [(3, "FROM", "busybox"), (4, "RUN", "echo hi")]


def test_a_continued_line_is_joined_and_its_comments_and_empty_lines_go() -> None:
    source = "FROM a\nRUN one \\\n  # why\n\n   two \\  \n three\nCMD x\n"
    assert texts(source) == [(1, "FROM", "a"), (2, "RUN", "one    two  three"), (7, "CMD", "x")]


def test_a_character_of_a_joined_line_finds_its_way_back() -> None:
    line = parse("RUN one \\\n   two").lines[0]
    place = line.place(line.text.index("two"), 3)
    assert (place.line, place.column, place.source) == (2, 3, "   two")
    assert place.excerpt() == "  2 |    two\n    |    ^^^"


def test_a_doubled_escape_continues_nothing() -> None:
    assert texts("RUN echo \\\\\nCMD x") == [(1, "RUN", "echo \\\\"), (2, "CMD", "x")]


def test_the_escape_directive_changes_the_escape() -> None:
    dockerfile = parse("# escape=`\nFROM a\nRUN one `\n two \\\n")
    assert dockerfile.escape == "`"
    assert [line.text for line in dockerfile.lines] == ["FROM a", "RUN one  two \\"]


def test_a_directive_after_a_comment_is_a_comment() -> None:
    assert parse("# hello\n# escape=`\nFROM a").escape == "\\"


def test_windows_line_ends_and_a_byte_order_mark_are_accepted() -> None:
    assert texts("\ufeffFROM a\r\nRUN b \\\r\n c\r\n") == [(1, "FROM", "a"), (2, "RUN", "b  c")]


def test_a_heredoc_takes_the_lines_up_to_its_name() -> None:
    run, cmd = parse("RUN <<EOF\nFROM not an instruction\n# kept\nEOF\nCMD x").lines
    assert run.heredocs[0].content == "FROM not an instruction\n# kept\n"
    assert (run.number, run.last, cmd.number) == (1, 4, 5)


def test_a_dash_strips_tabs_and_quotes_stop_expansion() -> None:
    line = parse("COPY <<-'one' <<two /to/\n\ta\n\tone\nb\ntwo\n").lines[0]
    found = [(doc.name, doc.content, doc.expand) for doc in line.heredocs]
    assert found == [("one", "a\n", False), ("two", "b\n", True)]


def test_a_heredoc_without_its_end_points_at_its_beginning() -> None:
    with pytest.raises(DockerfileError) as caught:
        parse("FROM a\nRUN cat <<EOF\nx\n")
    assert caught.value.message == (
        "dockerfile parse error line 2: unterminated heredoc: EOF\n"
        "  2 | RUN cat <<EOF\n"
        "    |         ^^^^^"
    )
    assert caught.value.hint == "expected a line that says EOF and nothing else"


@pytest.mark.parametrize("source", ["", "\n\n", "# only a comment\n", "# escape=`\n"])
def test_an_empty_dockerfile_is_refused_with_dockers_words(source: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        parse(source, "web.dockerfile")
    assert caught.value.message == "the Dockerfile (web.dockerfile) cannot be empty"


def test_a_wrong_escape_is_pointed_at() -> None:
    with pytest.raises(DockerfileError) as caught:
        parse("# escape=x\nFROM a")
    assert caught.value.message == (
        "dockerfile parse error line 1: invalid escape token 'x' does not match ` or \\\n"
        "  1 | # escape=x\n"
        "    |          ^"
    )


@given(st.text(alphabet="FROMRUN #\\\n\t<EOF-'\"=`abc", max_size=80))
def test_any_text_is_parsed_or_refused_and_never_loses_its_place(source: str) -> None:
    try:
        lines = parse(source).lines
    except DockerfileError:
        return
    sources = source.split("\n")
    for line in lines:
        for offset, char in enumerate(line.text):
            place = line.place(offset)
            assert sources[place.line - 1] == place.source
            assert place.source[place.column] == char
