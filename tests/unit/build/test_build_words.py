"""Quotes, escapes and variables, as the Dockerfile reference defines them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutaway.build.words import WordError, expand, expand_words, split

VARIABLES = {"name": "value", "empty": "", "two": "a b", "_x1": "under"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("$name", "value"),
        ("${name}s", "values"),
        ("$names", ""),
        ("$_x1", "under"),
        ("$unset|", "|"),
        (r"\$name", "$name"),
        (r"\${name}", "${name}"),
        ("'$name'", "$name"),
        ("'a\\b'", "a\\b"),
        ('"$name"', "value"),
        ('"\\$name \\" \\n \\\\"', '$name " \\n \\'),
        ("it\\'s", "it's"),
        ("a\\ b", "a b"),
        ("end\\", "end"),
        ("${unset:-word}", "word"),
        ("${empty:-word}", "word"),
        ("${empty-word}", ""),
        ("${unset-word}", "word"),
        ("${name:-word}", "value"),
        ("${name:+word}", "word"),
        ("${empty:+word}", ""),
        ("${empty+word}", "word"),
        ("${unset+word}", ""),
        ("${unset:-$name/${two}}", "value/a b"),
        ("${unset:-'a}b'}", "a}b"),
        ("${name:?must be set}", "value"),
        ("$", "$"),
        ("100$ each", "100$ each"),
        ("$1", ""),
    ],
)
def test_a_word_expands_as_the_reference_says(text: str, expected: str) -> None:
    assert expand(text, VARIABLES) == expected


def test_another_escape_leaves_the_backslash_alone() -> None:
    assert expand("c:\\dir\\$name `$name", VARIABLES, "`") == "c:\\dir\\value $name"


def test_an_unquoted_value_with_spaces_becomes_words_and_a_quoted_one_does_not() -> None:
    assert expand_words("$two '$two' \"$two\" x\"\"", VARIABLES) == ["a", "b", "$two", "a b", "x"]
    assert expand_words("$empty $unset ''", VARIABLES) == [""]


def test_splitting_keeps_quotes_and_offsets() -> None:
    words = split("a=1  b=\"x y\" c=d\\ e 'f g'")
    assert [(word.text, word.offset) for word in words] == [
        ("a=1", 0),
        ('b="x y"', 5),
        ("c=d\\ e", 13),
        ("'f g'", 20),
    ]


@pytest.mark.parametrize(
    ("text", "problem", "offset"),
    [
        ("a 'b", "unexpected end of statement while looking for matching single-quote", 2),
        ('ab "c', "unexpected end of statement while looking for matching double-quote", 3),
        ("x${name", "syntax error: missing '}'", 1),
        ("x${}", "syntax error: bad substitution", 1),
        ("${name/a/b}", "unsupported modifier (/) in substitution", 6),
        ("${unset:?say it}", "unset: say it", 0),
        ("${unset?}", "unset: not allowed to be unset", 0),
        ("${empty:?}", "empty: not allowed to be empty", 0),
    ],
)
def test_a_broken_word_says_what_and_where(text: str, problem: str, offset: int) -> None:
    with pytest.raises(WordError) as caught:
        expand(text, VARIABLES)
    assert (caught.value.problem, caught.value.offset) == (problem, offset)


@given(st.text(max_size=40))
def test_what_is_escaped_character_by_character_comes_out_as_it_went_in(text: str) -> None:
    assert expand("".join(f"\\{char}" for char in text), VARIABLES) == text


@given(st.text(alphabet="ab$\\'\"{}:-+ ", max_size=30))
def test_any_text_expands_or_says_where_it_breaks(text: str) -> None:
    offset = 0
    try:
        expand(text, VARIABLES)
    except WordError as error:
        offset = error.offset
    assert 0 <= offset <= len(text)


@given(st.text(alphabet="ab \\'\"=", max_size=30))
def test_splitting_loses_nothing_but_space(text: str) -> None:
    words = split(text)
    assert all(text[word.offset :].startswith(word.text) for word in words)
    covered = "".join(word.text for word in words)
    assert [char for char in covered if not char.isspace()] == [char for char in text if not char.isspace()]
