import pytest

from cutaway.errors import BadInputError
from cutaway.oci.reference import Reference

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("busybox", ("", "busybox", "latest", "")),
        ("busybox:1.36", ("", "busybox", "1.36", "")),
        ("team/web", ("", "team/web", "latest", "")),
        ("example.test/web", ("example.test", "web", "latest", "")),
        ("example.test:5000/team/web:v1", ("example.test:5000", "team/web", "v1", "")),
        ("localhost/web", ("localhost", "web", "latest", "")),
        ("[::1]:5000/web", ("[::1]:5000", "web", "latest", "")),
        (f"web@{DIGEST}", ("", "web", "", DIGEST)),
        (f"web:1@{DIGEST}", ("", "web", "1", DIGEST)),
        ("a__b-c.d", ("", "a__b-c.d", "latest", "")),
    ],
)
def test_a_reference_is_taken_apart(text: str, expected: tuple[str, ...]):
    reference = Reference.parse(text)
    assert (reference.domain, reference.path, reference.tag, reference.digest) == expected


@pytest.mark.parametrize("text", ["busybox:latest", "example.test:5000/web:v1", f"web@{DIGEST}"])
def test_a_whole_reference_prints_as_it_was_typed(text: str):
    assert Reference.parse(text).familiar() == text


def test_upper_case_is_refused_with_dockers_words():
    with pytest.raises(BadInputError) as caught:
        Reference.parse("Web")
    assert caught.value.message == "invalid reference format: repository name (Web) must be lowercase"
    assert caught.value.hint == "try web"


@pytest.mark.parametrize(
    "text",
    ["", ":tag", "a b", "web:", "web:a b", "web:.x", "-web", "web-", "a//b", "/web", "web/", "a" * 256,
     "b" * 64, "c" * 64 + ":1", "web@sha256:12", "web:" + "t" * 129, "ex_ample.test:5000/", "we\nb", "web\n"],
)  # fmt: skip
def test_what_is_not_a_reference_is_refused(text: str):
    with pytest.raises(BadInputError, match=r"invalid (re|digest)"):
        Reference.parse(text)
