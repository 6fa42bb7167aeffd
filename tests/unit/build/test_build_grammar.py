"""Every instruction becomes a value, or an error that points at its place in the file."""

from typing import Any

import pytest

from cutaway.build.failures import DockerfileError
from cutaway.build.grammar import read_dockerfile
from cutaway.build.instructions import Cmd, Command, Copy, Env, Healthcheck, Run, Shell


def only(instruction: str) -> Any:
    return read_dockerfile(f"FROM scratch\n{instruction}\n").stages[0].instructions[0]


def refused(source: str) -> DockerfileError:
    with pytest.raises(DockerfileError) as caught:
        read_dockerfile(source)
    return caught.value


def pairs(instruction: str) -> list[tuple[str, str | None]]:
    return [(pair.name.text, pair.value.text if pair.value else None) for pair in only(instruction).pairs]


def test_run_has_a_shell_form_and_a_json_form() -> None:
    assert only("RUN echo $HOME").command == Command(True, ("echo $HOME",))
    assert only('RUN ["echo", "$HOME"]').command == Command(False, ("echo", "$HOME"))


def test_a_list_that_is_no_json_is_the_shell_form() -> None:
    assert only("CMD ['sh']").command == Command(True, ("['sh']",))


def test_an_empty_list_takes_an_inherited_command_away() -> None:
    instruction = only("CMD []")
    assert isinstance(instruction, Cmd)
    assert instruction.command is None


def test_the_shell_form_goes_behind_the_words_of_shell() -> None:
    shell = only('SHELL ["/bin/bash", "-ec"]')
    assert isinstance(shell, Shell)
    assert only("RUN a b").command.argv(shell.words) == ["/bin/bash", "-ec", "a b"]


def test_env_has_two_forms() -> None:
    assert isinstance(only("ENV a=1"), Env)
    assert pairs('ENV a=1 b="x y" c=d\\ e') == [("a", "1"), ("b", '"x y"'), ("c", "d\\ e")]
    assert pairs("ENV name  a value = with everything") == [("name", "a value = with everything")]


def test_arg_may_have_no_default() -> None:
    assert pairs("ARG one two=2") == [("one", None), ("two", "2")]


def test_copy_reads_its_flags_and_both_forms() -> None:
    copy = only("COPY --from=0 --chown=a:b --chmod=750 x y /to/")
    assert isinstance(copy, Copy)
    assert [word.text for word in copy.sources] == ["x", "y"]
    flags = [word and word.text for word in (copy.stage, copy.chown, copy.chmod)]
    assert (copy.destination.text, flags) == ("/to/", ["0", "a:b", "750"])
    assert [word.text for word in only('COPY ["a b", "/to here/"]').sources] == ["a b"]


def test_a_run_heredoc_alone_is_the_script_and_else_a_part_of_the_command() -> None:
    script = only("RUN <<EOF\necho one\necho two\nEOF")
    assert isinstance(script, Run)
    assert script.command == Command(True, ("echo one\necho two\n",))
    assert only("RUN cat <<EOF > /x\nhi\nEOF").command == Command(True, ("cat <<EOF > /x\nhi\nEOF\n",))


def test_a_health_check_has_go_durations() -> None:
    check = only("HEALTHCHECK --interval=1m30s --retries=3 CMD curl -f http://localhost/")
    assert isinstance(check, Healthcheck)
    assert (check.interval, check.retries) == (90 * 10**9, 3)
    assert check.command == Command(True, ("curl -f http://localhost/",))
    assert only("HEALTHCHECK NONE").test == ("NONE",)


def test_stages_begin_at_from_and_arguments_may_stand_before_the_first() -> None:
    program = read_dockerfile("ARG v=1\nFROM a:$v AS Build\nRUN x\nFROM scratch\nCOPY --from=build x y\n")
    assert [pair.name.text for arg in program.arguments for pair in arg.pairs] == ["v"]
    stages = [(stage.base.image.text, stage.base.alias, len(stage.instructions)) for stage in program.stages]
    assert stages == [("a:$v", "build", 1), ("scratch", "", 1)]


@pytest.mark.parametrize(
    ("source", "message", "hint"),
    [
        (
            "FROM busybox\n\nRNU apt-get update\n",
            "dockerfile parse error line 3: unknown instruction: RNU\n"
            "  3 | RNU apt-get update\n"
            "    | ^^^",
            "did you mean RUN?",
        ),
        (
            "FROM busybox\nONBUILD RUN x",
            "dockerfile parse error line 2: ONBUILD is not supported yet\n"
            "  2 | ONBUILD RUN x\n"
            "    | ^^^^^^^",
            "take the line out, or build it with another engine",
        ),
        (
            "RUN x\nFROM busybox",
            "dockerfile parse error line 1: no build stage in current context\n"
            "  1 | RUN x\n"
            "    | ^^^",
            "begin with FROM IMAGE; only ARG may stand before it",
        ),
        (
            "FROM a b",
            "dockerfile parse error line 1: FROM requires either one or three arguments\n"
            "  1 | FROM a b\n"
            "    | ^^^^",
            "expected FROM IMAGE or FROM IMAGE AS NAME",
        ),
        (
            "FROM a\nENV one=1 \\\n    two three=3",
            "dockerfile parse error line 3: Syntax error - can't find = in \"two\". "
            "Must be of the form: name=value\n"
            "  3 |     two three=3\n"
            "    |     ^^^",
            "put a value with spaces in quotes",
        ),
        (
            "FROM a\nENV lonely",
            "dockerfile parse error line 2: ENV must have two arguments\n"
            "  2 | ENV lonely\n"
            "    |     ^^^^^^",
            "expected ENV NAME=VALUE",
        ),
        (
            "FROM a\nCOPY --chwon=x a b",
            "dockerfile parse error line 2: unknown flag: --chwon\n"
            "  2 | COPY --chwon=x a b\n"
            "    |      ^^^^^^^^^",
            "did you mean --chown?",
        ),
        (
            "FROM a\nRUN --mount=type=cache,target=/x true",
            "dockerfile parse error line 2: RUN --mount is not supported yet\n"
            "  2 | RUN --mount=type=cache,target=/x true\n"
            "    |     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^",
            "take the flag out",
        ),
        (
            "FROM a\nCOPY lonely",
            "dockerfile parse error line 2: COPY requires at least two arguments, but only one was provided. "
            "Destination could not be determined\n"
            "  2 | COPY lonely\n"
            "    | ^^^^",
            "expected COPY SOURCE… DESTINATION",
        ),
        (
            "FROM a\nSHELL /bin/bash",
            "dockerfile parse error line 2: SHELL requires the arguments to be in JSON form\n"
            "  2 | SHELL /bin/bash\n"
            "    | ^^^^^",
            'expected SHELL ["/bin/sh", "-c"]',
        ),
        (
            "FROM a\n\tRUN",
            "dockerfile parse error line 2: RUN requires at least one argument\n"
            "  2 | \tRUN\n"
            "    | \t^^^",
            "expected RUN COMMAND",
        ),
    ],
)
def test_an_error_shows_the_line_a_caret_and_what_was_expected(source: str, message: str, hint: str) -> None:
    error = refused(source)
    assert (error.message, error.hint, error.status) == (message, hint, 400)
