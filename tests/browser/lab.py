"""JupyterLab on a port of its own, with settings, workspaces and notebooks in a folder of its own."""

from __future__ import annotations

import json
import secrets
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
from playwright.sync_api import Error, Locator, Page, expect

CHROMIUM_ARGUMENTS = [
    "--no-sandbox",  # the tests run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SETTINGS: dict[str, dict[str, Any]] = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "notebook-extension/tracker": {"windowingMode": "none"},  # every cell is in the page, seen or not
    "apputils-extension/themes": {"theme": "JupyterLab Light", "adaptive-theme": False},
}
MINUTES = 60_000  # milliseconds
FIRST = "warm-up.ipynb"
WARM_UP = """\
import anywidget, ipywidgets

display(anywidget.AnyWidget(), ipywidgets.Label("ready"))"""


class Lab:
    """A running server. `folder` holds its notebooks; `env` is what its kernels get."""

    def __init__(self, home: Path, env: dict[str, str]) -> None:
        self.folder = home / "notebooks"
        self.folder.mkdir(parents=True)
        self._home = home
        self._token = secrets.token_hex(16)
        self._port = _free_port()
        places = (
            "JUPYTER_CONFIG_DIR",
            "JUPYTER_DATA_DIR",
            "JUPYTER_RUNTIME_DIR",
            "JUPYTERLAB_WORKSPACES_DIR",
        )
        self._env = env | {name: str(home / name.lower()) for name in places}
        self._env["JUPYTERLAB_SETTINGS_DIR"] = str(home / "settings")
        self.set(SETTINGS)
        self._log = open(home / "lab.log", "wb")  # noqa: SIM115  # closed with the server
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1"),
                *(f"--port={self._port}", "--port-retries=0", f"--IdentityProvider.token={self._token}"),
                f"--ServerApp.root_dir={self.folder}",
            ],
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )

    def set(self, settings: dict[str, dict[str, Any]]) -> None:
        """Lab's own settings, `{"apputils-extension/themes": {…}}`; read when a page is opened."""
        for name, values in settings.items():
            path = self._home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(values))

    def open(self, page: Page, notebook: Path) -> None:
        """Open a copy of a notebook in a page that has all of Lab's parts, and wait for its kernel.

        Lab fetches the code for widgets when the first one is shown. Chromium drops what it is fetching
        whenever an interface of the machine comes or goes, and that is what a lesson does. So a notebook with
        an empty widget goes first.
        """
        nbformat.write(_warm_up(), self.folder / FIRST)
        shutil.copy(notebook, self.folder)
        self._wait_until_it_listens()
        for attempts_left in (2, 1, 0):
            try:
                page.goto(f"http://127.0.0.1:{self._port}/lab/tree/{FIRST}?token={self._token}&reset")
                _wait_for_kernel(page)
                menu(page, "Run", "Run All Cells")
                page.wait_for_selector(".jp-OutputArea .widget-label", timeout=MINUTES / 2)
                break
            except Error:
                if not attempts_left:
                    raise
        menu(page, "File", "Close and Shut Down Notebook…")
        page.locator(".jp-Dialog .jp-mod-accept").click()
        page.locator(".jp-DirListing-item", has_text=notebook.name).dblclick()
        _wait_for_kernel(page)

    def log(self) -> str:
        """What the server wrote."""
        return (self._home / "lab.log").read_text(errors="replace")

    def close(self) -> None:
        """End the server, which ends its kernels."""
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def _wait_until_it_listens(self) -> None:
        from harness import until

        def listens() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self._port)) == 0

        assert until(lambda: listens() or self._process.poll() is not None, 120), self.log()
        assert self._process.poll() is None, self.log()


def _warm_up() -> Any:
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    return nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(WARM_UP)],
        metadata={"kernelspec": kernel, "language_info": {"name": "python"}},
    )


def run_all(page: Page) -> None:
    """Run → Restart Kernel and Run All Cells…; returns when every cell has run."""
    menu(page, "Edit", "Clear Outputs of All Cells")  # the numbers that were saved say nothing about this run
    menu(page, "Run", "Restart Kernel and Run All Cells…")
    page.locator(".jp-Dialog .jp-mod-accept").click()
    _wait_until_ran(page, 0)


def run_up_to_the_last_cell(page: Page) -> None:
    """Select the last cell but one of code, then Kernel → Restart Kernel and Run up to Selected Cell…"""
    menu(page, "Edit", "Clear Outputs of All Cells")
    code_cells(page).nth(-2).locator(".jp-InputPrompt").click()
    menu(page, "Kernel", "Restart Kernel and Run up to Selected Cell…")
    page.locator(".jp-Dialog .jp-mod-accept").click()
    _wait_until_ran(page, 1)


def choose_theme(page: Page, theme: str) -> None:
    """Settings → Theme: "Light" or "Dark"."""
    menu(page, "Settings", "Theme", f"JupyterLab {theme}")
    expect(page.locator("body")).to_have_attribute("data-jp-theme-light", str(theme == "Light").lower())


def menu(page: Page, *names: str) -> None:
    """Click through the menu bar."""
    page.locator("#jp-MainMenu").get_by_role("menuitem", name=names[0], exact=True).click()
    for name in names[1:]:
        page.locator(".lm-Menu .lm-Menu-item", has_text=name).first.click()


def _wait_for_kernel(page: Page) -> None:
    page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=MINUTES / 2)
    indicator = page.locator(".jp-Notebook-ExecutionIndicator")
    expect(indicator).to_have_attribute("data-status", "idle", timeout=MINUTES)


def code_cells(page: Page) -> Locator:
    """All cells of code, from first to last."""
    return page.locator(".jp-Notebook .jp-CodeCell")


def _wait_until_ran(page: Page, left_out: int) -> None:
    prompts = code_cells(page).locator(".jp-InputPrompt")
    count = prompts.count() - left_out
    expect(prompts.nth(count - 1)).to_have_text(f"[{count}]:", timeout=5 * MINUTES)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
