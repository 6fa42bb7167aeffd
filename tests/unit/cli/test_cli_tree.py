"""The grammar: what is said for a wrong word, where options end, which exit code."""

from __future__ import annotations

import io
import shlex
import subprocess
import sys

import click
import pytest

from cutaway.cli.failures import CommandError, two_lines
from cutaway.cli.main import invoke
from cutaway.cli.session import Session
from cutaway.cli.streams import Streams
from cutaway.cli.tree import PLACES, root

ALL = list(PLACES)


def session(surface: str = "terminal", program: str = "cutaway") -> tuple[Session, io.BytesIO, io.BytesIO]:
    out, err = io.BytesIO(), io.BytesIO()
    streams = Streams(
        None, lambda data: out.write(data) and None, lambda data: err.write(data) and None, width=100
    )
    return Session(streams, surface, program), out, err  # type: ignore[arg-type]


def failure(*words: str) -> CommandError:
    with pytest.raises(CommandError) as caught:
        invoke(words, session()[0])
    return caught.value


def printed(*words: str, program: str = "cutaway") -> str:
    one, out, _ = session(program=program)
    assert invoke(words, one) == 0
    return out.getvalue().decode()


@pytest.mark.parametrize(
    ("typed", "meant"), [("rnu", "run"), ("pss", "ps"), ("comit", "commit"), ("xyzzy", "")]
)
def test_an_unknown_command_gets_a_suggestion(typed: str, meant: str) -> None:
    error = failure(typed)
    assert error.message == f"unknown command: {typed}"
    assert error.hint == (f"did you mean `{meant}`?" if meant else "`cutaway --help` lists the commands")
    assert error.exit_code == 1


def test_an_unknown_flag_ends_with_125_and_names_the_help() -> None:
    error = failure("run", "--nmae", "x", "busybox")
    assert two_lines(error) == (
        "error: unknown flag: --nmae\nhint: did you mean --name? see `cutaway run --help`"
    )
    assert error.exit_code == 125


def test_a_missing_image_ends_with_1() -> None:
    error = failure("run")
    assert (error.message, error.exit_code) == ("cutaway run: IMAGE is missing", 1)


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        ("--memory", "x", 'invalid argument "x" for "-m, --memory" flag: invalid size: \'x\''),
        ("--cpus", "x", 'invalid argument "x" for "--cpus" flag: failed to parse x as a rational number'),
        ("-v", ":b", 'invalid argument ":b" for "-v, --volume" flag: invalid volume specification: \':b\''),
    ],
)
def test_a_bad_value_is_told_in_dockers_words(flag: str, value: str, message: str) -> None:
    error = failure("run", flag, value, "busybox")
    assert (error.message, error.exit_code) == (message, 125)


def test_a_flag_without_its_value_ends_with_125() -> None:
    assert failure("run", "--name").exit_code == 125


def test_the_bare_command_lists_all_commands() -> None:
    text = printed()
    assert all(f"\n  {name} " in text for name in ALL)


@pytest.mark.parametrize("name", ALL)
def test_each_command_has_help_with_an_example_in_the_words_of_the_surface(name: str) -> None:
    text = printed(name, "--help", program="%container")
    assert text.startswith(f"Usage: %container {name}")
    if name != "engine":
        assert f"\n  %container {name}" in text.split("Example")[1]


def test_each_example_is_one_that_parses() -> None:
    context = click.Context(root, info_name="cutaway", obj=session()[0])
    for name in ALL:
        command = root.get_command(context, name)
        for example in getattr(command, "examples", ()):
            words = example.split(" | ")[0].split(" > ")[0]
            assert command is not None
            command.make_context(name, shlex.split(words)[1:], parent=context).close()


def parsed(*words: str) -> dict[str, object]:
    name, *rest = words
    context = click.Context(root, info_name="cutaway", obj=session()[0])
    command = root.get_command(context, name)
    assert command is not None
    with command.make_context(name, rest, parent=context) as made:
        return made.params


def test_options_of_run_end_at_the_image() -> None:
    params = parsed("run", "-it", "--rm", "busybox", "ls", "-l", "--rm=false", "--name", "x")
    assert params["words"] == ("ls", "-l", "--rm=false", "--name", "x")
    assert (params["interactive"], params["tty"], params["remove"], params["name"]) == (
        True,
        True,
        True,
        None,
    )


def test_options_of_exec_end_at_the_container() -> None:
    assert parsed("exec", "-i", "web", "sh", "-c", "exit 3")["words"] == ("sh", "-c", "exit 3")


def test_options_of_ps_may_come_in_any_order() -> None:
    assert parsed("rm", "web", "-f")["force"] is True


def test_a_flag_may_be_given_its_truth() -> None:
    assert parsed("run", "--rm=true", "-d=false", "busybox")["remove"] is True
    assert parsed("run", "--rm=true", "-d=false", "busybox")["detach"] is False
    assert parsed("attach", "--sig-proxy=false", "web")["sig_proxy"] is False
    assert parsed("run", "-w", "/tmp", "--rm=false", "busybox", "a=b")["remove"] is False


def test_a_flag_with_a_value_that_is_no_truth_is_refused() -> None:
    error = failure("run", "--rm=maybe", "busybox")
    assert (error.message, error.exit_code) == (
        'invalid argument "maybe" for "--rm" flag: neither true nor false',
        125,
    )


def test_values_may_stick_to_their_flags() -> None:
    params = parsed("run", "-p8080:80", "--name=web", "-eA=1", "-v/data", "busybox")
    assert (params["publish"], params["name"], params["env"]) == (("8080:80",), "web", ("A=1",))
    assert params["volume"] == (("", "/data"),)


def test_a_terminal_is_refused_where_nobody_sits_at_one() -> None:
    error = failure("run", "-it", "busybox", "sh")
    assert error.message == "the input device is not a TTY"
    assert error.exit_code == 125


def test_help_and_completion_import_neither_docker_nor_the_engine() -> None:
    check = (
        "import sys; from cutaway.cli.main import invoke; from cutaway.cli import completion\n"
        "assert not {'docker', 'aiohttp', 'msgspec', 'requests'} & set(sys.modules), sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", check], check=True)


def test_a_view_in_a_terminal_points_to_the_notebook() -> None:
    error = failure("view", "layers", "busybox")
    assert two_lines(error) == (
        "error: views open in a notebook\n"
        "hint: `cutaway lab` opens one; there: %container view layers busybox"
    )


def test_a_long_message_keeps_the_lines_that_it_points_with() -> None:
    error = CommandError("unknown instruction: RNU\n  2 | RNU x\n      ^^^", "did you mean RUN?")
    assert (
        two_lines(error) == "error: unknown instruction: RNU\n  2 | RNU x\n      ^^^\nhint: did you mean RUN?"
    )
