"""`.dockerignore` by its own rules."""

import pytest

from cutaway.build.ignore import IgnoreFile, has_wildcard, matches
from cutaway.errors import BadInputError


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("a", "a", True),
        ("a", "a/b", False),
        ("*.py", "x.py", True),
        ("*.py", "d/x.py", False),
        ("**/*.py", "x.py", True),
        ("**/*.py", "d/e/x.py", True),
        ("d/**", "d/e/f", True),
        ("?", "/", False),
        ("[a-c]x", "bx", True),
        ("[^a-c]x", "bx", False),
        ("[^a]", "/", False),
        (r"a\*", "a*", True),
        (r"a\*", "ab", False),
        ("a.b", "axb", False),
    ],
)
def test_patterns_match_as_in_go(pattern: str, path: str, expected: bool) -> None:
    assert matches(pattern, path) is expected


def test_the_last_line_that_matches_decides() -> None:
    ignore = IgnoreFile.parse("# all notes\n*.md\n!README.md\n/build\nREADME.md.bak\n\n")
    paths = ("a.md", "README.md", "build", "build/x", "src/build")
    left_out = [path for path in paths if ignore.excludes(path)]
    assert left_out == ["a.md", "build", "build/x"]


def test_a_kept_file_below_a_left_out_folder_is_kept() -> None:
    ignore = IgnoreFile.parse("node\n!node/keep")
    assert ignore.excludes("node/other")
    assert not ignore.excludes("node/keep")


def test_a_broken_pattern_names_its_line() -> None:
    with pytest.raises(BadInputError) as caught:
        IgnoreFile.parse("fine\n[a-\n")
    assert caught.value.message == ".dockerignore line 2: syntax error in pattern: [a-"


def test_a_plain_path_has_no_wildcard() -> None:
    assert not has_wildcard(r"a\*b")
    assert has_wildcard("a*b")
