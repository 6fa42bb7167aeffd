"""The terminal command against a real engine: what it prints, how it ends, what it leaves."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import re
import select
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import DEADLINE, EngineProcess, until

pytestmark = pytest.mark.root
CUTAWAY = (sys.executable, "-m", "cutaway.cli.main")


class Command:
    """`cutaway` in the environment of one engine."""

    def __init__(self, engine: EngineProcess) -> None:
        self.engine = engine
        self.env = {name: value for name, value in engine.env.items() if name != "DOCKER_HOST"}

    def __call__(self, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return self.engine.run(*CUTAWAY, *words, env=self.env, **options)

    def says(self, *words: str, **options: Any) -> str:
        """Standard output of a command that has to end well."""
        done = self(*words, **options)
        assert (done.returncode, done.stderr) == (0, ""), (words, done)
        return done.stdout

    def begin(self, *words: str, **options: Any) -> subprocess.Popen[bytes]:
        """Start it and go on."""
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": self.env} | options
        return subprocess.Popen([*CUTAWAY, *words], **options)


@pytest.fixture
def cutaway(engine: EngineProcess) -> Iterator[Command]:
    yield Command(engine)
    engine.remove_containers()


def test_run_shows_both_streams_and_ends_with_the_programs_code(cutaway: Command) -> None:
    done = cutaway("run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 3)
    assert cutaway.says("ps", "-aq") == ""


def test_run_feeds_its_standard_input_and_closes_it(cutaway: Command) -> None:
    data = "x" * 300_000 + "\n"
    assert cutaway.says("run", "-i", "--rm", "busybox", "cat", input=data) == data


def test_run_without_i_reads_nothing(cutaway: Command) -> None:
    assert cutaway.says("run", "--rm", "busybox", "cat", input="x") == ""


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (
            ("run", "--name", "bad", "busybox", "nosuch"),
            127,
            'exec: "nosuch": executable file not found in $PATH',
        ),
        (("run", "--name", "bad", "busybox", "/etc"), 126, 'exec: "/etc": is a directory'),
        (("run", "--name", "bad", "busybox", "/etc/passwd"), 126, 'exec: "/etc/passwd": permission denied'),
        (("run", "-m", "1m", "busybox"), 125, "Minimum memory limit allowed is 6MB"),
        (("run", "--pull", "never", "nosuch"), 125, "No such image: nosuch:latest"),
        (("run", "Upper"), 125, None),
        (("stop", "nosuch"), 1, "No such container: nosuch"),
        (("exec", "nosuch", "ls"), 1, "No such container: nosuch"),
        (("logs", "nosuch"), 1, "No such container: nosuch"),
        (("rmi", "nosuch"), 1, None),
        (("inspect", "nosuch"), 1, "no such object: nosuch"),
        (("build", "/nosuch"), 1, "the build context /nosuch does not exist"),
        (("load", "-i", "/nosuch"), 1, "cannot open /nosuch: no such file or directory"),
    ],
)
def test_a_failure_is_an_error_and_a_hint(
    cutaway: Command, words: tuple[str, ...], code: int, message: str | None
) -> None:
    done = cutaway(*words)
    lines = [line for line in done.stderr.splitlines() if not line.startswith("Unable to find image")]
    assert done.returncode == code, done
    assert lines[0].startswith("error: ")
    assert len(lines) == 2 and lines[1].startswith("hint: "), lines  # noqa: PT018 - both belong to one look
    if message:
        assert message in lines[0]
    shown = done.stdout if words[0] != "inspect" else ""
    assert shown == ""


def test_an_unknown_image_says_which_one_and_ends_with_125(cutaway: Command) -> None:
    done = cutaway("run", "no-such-image")
    assert done.returncode == 125
    assert done.stderr.startswith("Unable to find image 'no-such-image:latest' locally\nerror: ")
    assert cutaway.says("ps", "-aq") == ""


def test_a_failed_run_with_rm_leaves_no_container(cutaway: Command) -> None:
    assert cutaway("run", "--rm", "busybox", "nosuch").returncode == 127
    assert cutaway("run", "-d", "--rm", "busybox", "nosuch").returncode == 127
    assert cutaway.says("ps", "-aq") == ""


def test_a_name_in_use_is_told_with_its_holder(cutaway: Command) -> None:
    holder = cutaway.says("create", "--name", "held", "busybox").strip()
    done = cutaway("run", "--name", "held", "busybox")
    assert done.returncode == 125
    assert f'The container name "/held" is already in use by container "{holder}"' in done.stderr


def test_the_life_of_a_container_in_commands(cutaway: Command) -> None:
    identity = cutaway.says("run", "-d", "--name", "web", "busybox", "sleep", "600").strip()
    assert re.fullmatch(r"[0-9a-f]{64}", identity)
    assert cutaway.says("ps", "-q", "--no-trunc").strip() == identity
    assert cutaway.says("ps", "--format", "{{.ID}} {{.Image}} {{.Command}} {{.Names}}") == (
        f'{identity[:12]} busybox "sleep 600" web\n'
    )
    assert cutaway.says("exec", "web", "sh", "-c", "cat /proc/1/comm") == "sleep\n"
    assert cutaway("exec", "web", "sh", "-c", "exit 7").returncode == 7
    assert cutaway.says("exec", "-i", "web", "cat", input="fed") == "fed"
    assert cutaway.says("exec", "-e", "A=1", "-w", "/tmp", "web", "sh", "-c", "pwd; echo $A") == "/tmp\n1\n"
    assert "sleep 600" in cutaway.says("top", "web")
    assert cutaway.says("pause", "web") == "web\n"
    assert cutaway.says("inspect", "-f", "{{.State.Status}}", "web") == "paused\n"
    assert cutaway.says("unpause", "web") == "web\n"
    assert cutaway.says("kill", "-s", "KILL", "web") == "web\n"
    assert cutaway.says("wait", "web") == "137\n"
    assert cutaway.says("start", "web") == "web\n"
    assert cutaway.says("stop", "-t", "0", "web") == "web\n"
    assert cutaway.says("rename", "web", "shop") == ""
    assert cutaway.says("ps", "-a", "--filter", "status=exited", "--format", "{{.Names}}") == "shop\n"
    assert cutaway.says("rm", "shop") == "shop\n"


@pytest.mark.parametrize(("program", "code"), [("nosuch", 127), ("/etc", 126)])
def test_exec_tells_a_missing_program_from_one_that_cannot_run(
    cutaway: Command, program: str, code: int
) -> None:
    cutaway.says("run", "-d", "--name", "box", "busybox", "sleep", "600")
    done = cutaway("exec", "box", program)
    assert done.returncode == code
    assert f'"{program}"' in done.stderr + done.stdout


def test_one_failure_among_several_does_not_stop_the_rest(cutaway: Command) -> None:
    cutaway.says("create", "--name", "one", "busybox")
    cutaway.says("create", "--name", "two", "busybox")
    done = cutaway("rm", "one", "nosuch", "neither", "two")
    assert (done.stdout, done.returncode) == ("one\ntwo\n", 1)
    assert done.stderr.count("error: ") == 2


def test_logs_can_be_cut_and_followed(cutaway: Command) -> None:
    cutaway.says(
        "run", "-d", "--name", "talk", "busybox", "sh", "-c", "for i in 1 2 3; do echo $i; done; echo e >&2"
    )
    cutaway.says("wait", "talk")
    assert cutaway("logs", "talk").stdout == "1\n2\n3\n"
    assert cutaway("logs", "talk").stderr == "e\n"
    assert cutaway("logs", "-f", "--tail", "2", "talk").stdout == "3\n"
    assert re.match(r"\d{4}-\d\d-\d\dT.*Z 1\n", cutaway("logs", "-t", "talk").stdout)
    assert cutaway("logs", "--since", "0s", "talk").stdout == ""


def test_a_followed_log_can_be_left(cutaway: Command) -> None:
    cutaway.says("run", "-d", "--name", "loop", "busybox", "sh", "-c", "echo begun; sleep 600")
    follower = cutaway.begin("logs", "-f", "loop")
    assert follower.stdout is not None
    assert follower.stdout.readline() == b"begun\n"
    follower.send_signal(signal.SIGINT)
    _, told = follower.communicate(timeout=DEADLINE)
    assert (follower.returncode, told) == (
        130,
        b"error: interrupted\nhint: the container goes on, and keeps its log\n",
    )
    assert cutaway.says("inspect", "-f", "{{.State.Running}}", "loop") == "true\n"


def test_signals_reach_the_program_of_an_attached_run(cutaway: Command) -> None:
    script = "trap 'echo got term; exit 9' TERM; echo ready; while :; do sleep 0.05; done"
    running = cutaway.begin("run", "--rm", "busybox", "sh", "-c", script)
    assert running.stdout is not None
    assert running.stdout.readline() == b"ready\n"
    running.send_signal(signal.SIGTERM)
    out, _ = running.communicate(timeout=DEADLINE)
    assert (out, running.returncode) == (b"got term\n", 9)
    assert until(lambda: cutaway.says("ps", "-aq") == "")


def test_start_attached_gives_output_and_code(cutaway: Command) -> None:
    cutaway.says("create", "--name", "job", "-i", "busybox", "sh", "-c", "cat; exit 4")
    done = cutaway("start", "-a", "-i", "job", input="again\n")
    assert (done.stdout, done.returncode) == ("again\n", 4)


def test_attach_shows_what_comes_and_ends_with_the_code(cutaway: Command) -> None:
    cutaway.says(
        "run", "-d", "-i", "--name", "echo", "busybox", "sh", "-c", "read line; echo got $line; exit 5"
    )
    done = cutaway("attach", "echo", input="this\n")
    assert (done.stdout, done.returncode) == ("got this\n", 5)
    assert "cannot attach to a stopped container" in cutaway("attach", "echo").stderr


def test_images_have_names_history_and_archives(cutaway: Command, tmp_path: Path) -> None:
    cutaway.says("tag", "busybox", "lab/one:1")
    assert (
        "lab/one:1" in cutaway.says("images", "--format", "{{.Repository}}:{{.Tag}}", "lab/one").splitlines()
    )
    assert cutaway.says("images", "-q", "lab/one") == cutaway.says("images", "-q", "busybox")
    assert cutaway.says("history", "lab/one:1").startswith("IMAGE ")
    cutaway.says("save", "-o", str(tmp_path / "x.tar"), "lab/one:1")
    piped = subprocess.run(
        [*CUTAWAY, "save", "lab/one:1"], env=cutaway.env, capture_output=True, check=True
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(piped)) as tar:
        assert "manifest.json" in tar.getnames()
    assert cutaway.says("rmi", "lab/one:1") == "Untagged: lab/one:1\n"
    assert "Loaded image: lab/one:1" in cutaway.says("load", "-i", str(tmp_path / "x.tar"))
    assert cutaway.says("rmi", "lab/one:1") == "Untagged: lab/one:1\n"


def test_an_imported_tar_is_an_image(cutaway: Command, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "root.tar", "w") as tar:
        member = tarfile.TarInfo("hello")
        member.size = 3
        tar.addfile(member, io.BytesIO(b"hi\n"))
    cutaway.says("import", "-c", 'CMD ["/hello"]', str(tmp_path / "root.tar"), "lab/root:1")
    assert cutaway.says("inspect", "-f", "{{json .Config.Cmd}}", "lab/root:1") == '["/hello"]\n'
    cutaway("rmi", "lab/root:1")


def test_a_folder_is_built_without_what_it_ignores(cutaway: Command, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox\nARG WHO=you\nCOPY . /site\nRUN echo $WHO > /who\n")
    (tmp_path / "page").write_text("a page\n")
    (tmp_path / "secret").write_text("no\n")
    (tmp_path / ".dockerignore").write_text("secret\n")
    done = cutaway("build", "-t", "lab/site", "--build-arg", "WHO=me", str(tmp_path))
    assert done.returncode == 0, done
    assert "Step 2/4" in done.stdout and done.stdout.endswith("Successfully tagged lab/site:latest\n")  # noqa: PT018
    told = cutaway.says("run", "--rm", "lab/site", "sh", "-c", "cat /who; ls /site")
    assert told == "me\nDockerfile\npage\n"
    again = cutaway.says("build", "-q", "-t", "lab/site", "--build-arg", "WHO=me", str(tmp_path)).strip()
    assert again == cutaway.says("inspect", "-f", "{{.Id}}", "lab/site").strip()
    cutaway("rmi", "lab/site")


def test_a_dockerfile_may_come_from_elsewhere(cutaway: Command, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site/page").write_text("a page\n")
    (tmp_path / "Other").write_text("FROM busybox\nCOPY page /p\n")
    for words, given in (
        (("-f", str(tmp_path / "Other"), str(tmp_path / "site")), ""),
        (("-f", "-", str(tmp_path / "site")), "FROM busybox\nCOPY page /p\n"),
    ):
        assert cutaway("build", "-t", "lab/other", *words, input=given).returncode == 0
        assert cutaway.says("run", "--rm", "lab/other", "cat", "/p") == "a page\n"
    assert cutaway("build", "-t", "lab/other", "-", input="FROM busybox\nRUN true\n").returncode == 0
    cutaway("rmi", "lab/other")


def test_a_build_that_fails_points_at_the_line_and_keeps_the_code(cutaway: Command) -> None:
    wrong = cutaway("build", "-", input="FROM busybox\nRNU x\n")
    assert wrong.returncode == 1
    assert "RNU x" in wrong.stderr
    assert "did you mean RUN" in wrong.stderr
    failing = cutaway("build", "-", input="FROM busybox\nRUN exit 9\n")
    assert failing.returncode == 9
    assert "error: " in failing.stderr


def test_events_are_one_line_each_and_have_an_end(cutaway: Command) -> None:
    cutaway.says("run", "--name", "seen", "busybox", "true")
    told = cutaway.says(
        "events", "--since", "1m", "--until", "0s", "--filter", "container=seen", "--format", "{{.Action}}"
    )
    assert told.split()[0] == "create"
    assert "start" in told.split()
    assert "die" in told.split()


def test_version_and_info_tell_of_both_sides(cutaway: Command) -> None:
    assert (
        cutaway.says("version", "--format", "{{.Client.ApiVersion}} {{.Server.ApiVersion}}") == "1.47 1.47\n"
    )
    assert "\nServer: Cutaway\n" in cutaway.says("version")
    assert f"Root Dir: {cutaway.engine.root}" in cutaway("info").stdout


def test_explain_prints_the_steps_and_makes_nothing(cutaway: Command) -> None:
    plan = cutaway.says("explain", "run", "--rm", "-m", "64m", "-h", "box", "busybox", "true")
    numbers = [int(line[:4]) for line in plan.splitlines() if line[:4].strip().isdigit()]
    assert numbers == list(range(1, len(numbers) + 1))
    assert 'sethostname("box")' in plan
    assert 'pivot_root(".", ".")' in plan
    assert cutaway.says("ps", "-aq") == ""
    assert "explain has no plan for ps" in cutaway("explain", "ps").stderr


def test_doctor_tells_what_works(cutaway: Command) -> None:
    told = cutaway("doctor").stdout
    assert re.search(r"^works +mnt namespace$", told, re.MULTILINE)
    assert re.search(r"^\d+ of \d+ work$", told, re.MULTILINE)


def test_a_published_port_is_printed(cutaway: Command) -> None:
    cutaway.says("run", "-d", "--name", "pub", "-p", "127.0.0.1::80", "busybox", "sleep", "600")
    assert re.fullmatch(r"80/tcp -> 127\.0\.0\.1:\d+\n", cutaway.says("port", "pub"))
    assert re.fullmatch(r"127\.0\.0\.1:\d+\n", cutaway.says("port", "pub", "80"))


class Screen:
    """A command in a terminal of its own."""

    def __init__(self, cutaway: Command, *words: str) -> None:
        self.pid, self.descriptor = pty.fork()
        if self.pid == 0:
            os.execve(CUTAWAY[0], [*CUTAWAY, *words], cutaway.env | {"TERM": "dumb"})
        self.text = ""

    def type(self, text: str) -> None:
        os.write(self.descriptor, text.encode())

    def shows(self, pattern: str) -> bool:
        """Wait until the screen matches."""
        end = time.monotonic() + DEADLINE
        while not re.search(pattern, self.text):
            ready, _, _ = select.select([self.descriptor], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                return False
            with contextlib.suppress(OSError):
                piece = os.read(self.descriptor, 65536)
                self.text += piece.decode(errors="replace")
                continue
            return re.search(pattern, self.text) is not None
        return True

    def code(self) -> int:
        """Read to the end, and give the exit code."""
        self.shows(r"\Z.^")
        _, status = os.waitpid(self.pid, 0)
        os.close(self.descriptor)
        return os.waitstatus_to_exitcode(status)


def test_a_shell_in_a_terminal_knows_its_size_and_gets_ctrl_c(cutaway: Command) -> None:
    screen = Screen(cutaway, "run", "-it", "--rm", "busybox", "sh")
    assert screen.shows(r"/ # ")
    screen.type("sh -c 'echo be\"\"gun; exec sleep 600'\n")
    assert screen.shows(r"begun\r\n")  # so the terminal is that program's, and Ctrl-C too
    screen.type("\x03")
    assert screen.shows(r"begun\r\n(.|\n)*/ # "), screen.text
    screen.type("tty; exit 6\n")
    assert screen.shows(r"/dev/pts/0")
    assert screen.code() == 6


def test_the_detach_keys_leave_the_container_running(cutaway: Command) -> None:
    screen = Screen(cutaway, "run", "-it", "--name", "left", "busybox", "sh")
    assert screen.shows(r"/ # ")
    screen.type("\x10\x11")
    assert screen.code() == 0
    assert "read escape sequence" in screen.text
    assert cutaway.says("inspect", "-f", "{{.State.Running}}", "left") == "true\n"
    back = Screen(cutaway, "attach", "left")
    back.type("echo b''ack\n")
    assert back.shows(r"back\r\n"), back.text
    back.type("exit 2\n")
    assert back.code() == 2


def test_exec_in_a_terminal(cutaway: Command) -> None:
    cutaway.says("run", "-d", "--name", "box", "busybox", "sleep", "600")
    screen = Screen(cutaway, "exec", "-it", "box", "sh")
    assert screen.shows(r"/ # ")
    screen.type("exit 8\n")
    assert screen.code() == 8
