"""The magics in a real kernel: what a cell shows, how it fails, what an interrupt does."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import DEADLINE, EngineProcess, until
from jupyter_client import BlockingKernelClient, KernelManager

pytestmark = [
    pytest.mark.root,
    # jupyter_client closes its sockets late, and not always before its loop
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


class Result:
    """What one cell gave."""

    def __init__(self) -> None:
        self.stdout = ""
        self.stderr = ""
        self.data: list[dict[str, Any]] = []
        self.error: list[str] = []


class Notebook:
    """A kernel with the extension loaded."""

    def __init__(self, engine: EngineProcess, folder: Path) -> None:
        self._manager = KernelManager(kernel_name="python3")
        env = {name: value for name, value in engine.env.items() if name != "DOCKER_HOST"}
        self._manager.start_kernel(env=env, cwd=str(folder))
        self._client: BlockingKernelClient = self._manager.blocking_client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=DEADLINE)
        assert self.run("%load_ext cutaway_jupyter").error == []

    def run(self, cell: str, on_output: Callable[[Result], None] | None = None) -> Result:
        """Run a cell to its end; `on_output` is called after each piece of output."""
        number = self._client.execute(cell)
        result = Result()
        while True:
            message = self._client.get_iopub_msg(timeout=DEADLINE)
            if message["parent_header"].get("msg_id") != number:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                if content["name"] == "stdout":
                    result.stdout += content["text"]
                else:
                    result.stderr += content["text"]
                if on_output:
                    on_output(result)
            elif kind in ("display_data", "execute_result"):
                result.data.append(content["data"])
            elif kind == "error":
                result.error = content["traceback"]
            elif kind == "status" and content["execution_state"] == "idle":
                with contextlib.suppress(queue.Empty):
                    self._client.get_shell_msg(timeout=DEADLINE)
                return result

    def value(self, expression: str) -> str:
        return str(self.run(expression).data[0]["text/plain"])

    def interrupt(self) -> None:
        self._manager.interrupt_kernel()

    def complete(self, text: str) -> list[str]:
        self._client.complete(text, len(text))
        return list(self._client.get_shell_msg(timeout=DEADLINE)["content"]["matches"])

    def close(self) -> None:
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)
        self._manager.cleanup_resources()


@pytest.fixture(scope="module")
def kernel(engine: EngineProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    notebook = Notebook(engine, tmp_path_factory.mktemp("notebook"))
    yield notebook
    notebook.close()


@pytest.fixture
def notebook(kernel: Notebook, engine: EngineProcess) -> Iterator[Notebook]:
    yield kernel
    engine.remove_containers()


def test_a_cell_shows_what_the_program_says(notebook: Notebook) -> None:
    result = notebook.run("%container run --rm busybox sh -c 'echo out; echo err >&2; exit 3'")
    assert (result.stdout, result.stderr, result.error) == ("out\n", "err\n", [])
    assert notebook.value("_exit_code") == "3"


def test_output_streams_while_the_program_runs(notebook: Notebook, engine: EngineProcess) -> None:
    seen = []

    def on_output(result: Result) -> None:
        if result.stdout == "first\n":
            seen.append(engine.request("GET", "/containers/json")[1][0]["State"])
            engine.request("POST", "/containers/slow/kill?signal=TERM")

    script = "trap 'echo second; exit' TERM; echo first; while :; do sleep 0.05; done"
    result = notebook.run(f'%container run --name slow busybox sh -c "{script}"', on_output)
    assert (result.stdout, seen) == ("first\nsecond\n", ["running"])


def test_the_cell_is_the_standard_input(notebook: Notebook) -> None:
    result = notebook.run("%%container run -i --rm busybox sh\necho $((1 + 2)) 容器 $PATH_NOT\nexit 4\n")
    assert (result.stdout, notebook.value("_exit_code")) == ("3 容器\n", "4")


def test_an_error_is_two_lines(notebook: Notebook) -> None:
    result = notebook.run("%container rnu")
    assert result.error == ["error: unknown command: rnu", "hint: did you mean `run`?"]
    assert (result.stdout, result.stderr) == ("", "")
    assert notebook.value("_exit_code") == "1"
    result = notebook.run("%container run --rm busybox nosuch")
    assert result.error[0] == 'error: exec: "nosuch": executable file not found in $PATH'
    assert (len(result.error), notebook.value("_exit_code")) == (2, "127")


def test_an_error_can_be_caught(notebook: Notebook) -> None:
    cell = (
        "from cutaway.errors import CutawayError\n"
        "try:\n    get_ipython().run_line_magic('container', 'logs nosuch')\n"
        "except CutawayError as error:\n    print(error.message)"
    )
    assert notebook.run(cell).stdout == "No such container: nosuch\n"


def test_a_terminal_is_refused_with_a_way_out(notebook: Notebook) -> None:
    result = notebook.run("%container run -it busybox sh")
    assert result.error == [
        "error: the input device is not a TTY",
        "hint: a cell is no terminal: leave out -t and give the input in a `%%container … -i` cell",
    ]


def test_braces_variables_and_commands_in_a_line(notebook: Notebook) -> None:
    notebook.run("%container run -d --name one busybox sleep 600")
    notebook.run("%container run -d --name two busybox sleep 600")
    assert notebook.run("%container ps --format '{{.Names}}' --filter name=one").stdout == "one\n"
    assert notebook.run("name = 'two'\n%container inspect -f {{.State.Status}} $name").stdout == "running\n"
    assert notebook.run("%container kill $(ps -q)").stdout.count("\n") == 2
    result = notebook.run("%container run --rm -v $(pwd):/here busybox sh -c 'ls /here; echo $HOME'")
    assert result.stdout == "/root\n"


def test_the_bare_magic_lists_the_commands(notebook: Notebook) -> None:
    text = notebook.run("%container").stdout
    assert text.startswith("Usage: %container COMMAND")
    assert "\n  run " in text


def test_a_cell_is_a_dockerfile(notebook: Notebook, engine: EngineProcess) -> None:
    result = notebook.run('%%dockerfile -t lab/cell\nFROM busybox\nRUN echo made > /f\nCMD ["cat", "/f"]\n')
    assert result.error == []
    assert result.stdout.endswith("Successfully tagged lab/cell:latest\n")
    assert notebook.run("%container run --rm lab/cell").stdout == "made\n"
    notebook.run("%container rmi lab/cell")


def test_a_dockerfile_cell_copies_from_the_named_folder(notebook: Notebook) -> None:
    notebook.run("import pathlib; p = pathlib.Path('site'); p.mkdir(); (p / 'page').write_text('a page')")
    refused = notebook.run("%%dockerfile -t lab/copy\nFROM busybox\nCOPY page /\n")
    assert refused.error[0] == "error: the cell copies files, and no folder is named to copy from"
    assert notebook.run("%%dockerfile -t lab/copy site\nFROM busybox\nCOPY page /\n").error == []
    assert notebook.run("%container run --rm lab/copy cat /page").stdout == "a page"
    notebook.run("%container rmi lab/copy")


def test_a_wrong_dockerfile_points_at_its_line(notebook: Notebook) -> None:
    error = notebook.run("%%dockerfile -t lab/x\nFROM busybox\nRNU echo\n").error
    assert error[0].startswith("error: ")
    assert any("RNU echo" in line for line in error)
    assert error[-1].startswith("hint: ")


def when(text: str, notebook: Notebook) -> Callable[[Result], None]:
    done = []

    def on_output(result: Result) -> None:
        if text in result.stdout and not done:
            done.append(True)
            notebook.interrupt()

    return on_output


@pytest.mark.parametrize("script", ["echo ready; sleep 600", "trap '' INT; echo ready; sleep 600"])
def test_interrupting_a_run_stops_it_and_removes_it(
    notebook: Notebook, engine: EngineProcess, script: str
) -> None:
    cell = f'%container run --rm busybox sh -c "{script}"'
    result = notebook.run(cell, when("ready", notebook))
    assert result.error[0] == "error: interrupted"
    assert notebook.value("_exit_code") == "130"
    assert until(lambda: engine.request("GET", "/containers/json?all=1")[1] == [])


def test_an_interrupted_program_says_its_last_words(notebook: Notebook) -> None:
    script = "trap 'echo bye; exit' INT; echo ready; while :; do sleep 0.05; done"
    cell = f'%container run --rm busybox sh -c "{script}"'
    assert notebook.run(cell, when("ready", notebook)).stdout == "ready\nbye\n"


def test_interrupting_an_exec_ends_its_process(notebook: Notebook, engine: EngineProcess) -> None:
    notebook.run("%container run -d --name box busybox sleep 600")
    result = notebook.run('%container exec box sh -c "echo ready; exec sleep 601"', when("ready", notebook))
    assert result.error[0] == "error: interrupted"
    assert until(lambda: "sleep 601" not in str(engine.request("GET", "/containers/box/top")[1]))
    assert notebook.run("%container inspect -f {{.State.Running}} box").stdout == "true\n"


def test_interrupting_a_followed_log_leaves_the_container(notebook: Notebook) -> None:
    notebook.run("%container run -d --name loop busybox sh -c 'echo ready; sleep 600'")
    result = notebook.run("%container logs -f loop", when("ready", notebook))
    assert result.error == ["error: interrupted", "hint: the container goes on, and keeps its log"]
    assert notebook.run("%container logs loop").stdout == "ready\n"


def test_interrupting_a_build_leaves_nothing_half_made(notebook: Notebook, engine: EngineProcess) -> None:
    before = {image["Id"] for image in engine.request("GET", "/images/json")[1]}
    cell = "%%dockerfile -t lab/never\nFROM busybox\nRUN echo ready && sleep 600\n"
    result = notebook.run(cell, when("ready\n", notebook))
    assert result.error[0] == "error: interrupted"
    assert until(lambda: engine.request("GET", "/containers/json?all=1")[1] == [])
    assert {image["Id"] for image in engine.request("GET", "/images/json")[1]} == before


def test_tab_completes_in_cells(notebook: Notebook) -> None:
    notebook.run("%container run -d --name lighthouse busybox sleep 600")
    assert "run" in notebook.complete("%container ru")
    assert notebook.complete("%container run --na") == ["--name"]
    assert notebook.complete("x = 1\n%container exec li") == ["lighthouse"]
    assert notebook.complete("%%container run --rm bus") == ["busybox"]


def test_views_open_by_command(notebook: Notebook) -> None:
    result = notebook.run("%container view layers busybox")
    assert result.error == []
    assert "text/html" in result.data[0]
    assert notebook.run("%container view nosuch").error[0] == "error: no view is called nosuch"


def test_the_extension_can_be_unloaded_and_loaded_again(notebook: Notebook) -> None:
    notebook.run("%unload_ext cutaway_jupyter")
    assert "not found" in str(notebook.run("%container ps").stderr + str(notebook.run("%container ps").error))
    assert notebook.run("%load_ext cutaway_jupyter\n%container ps -q").error == []
