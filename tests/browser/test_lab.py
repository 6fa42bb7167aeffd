"""The first lesson as a student sees it: JupyterLab in the system's Chromium, a real engine behind it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
for room in ("browser", "notebooks", "integration"):
    sys.path.insert(0, str(TESTS / room))

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from lab import CHROMIUM_ARGUMENTS, MINUTES, Lab, choose_theme, run_all, run_up_to_the_last_cell  # noqa: E402
from lesson import lesson_engine, surroundings  # noqa: E402
from playwright.sync_api import Browser, Page, expect  # noqa: E402

LESSON = TESTS.parent / "notebooks/en/01-first-light.ipynb"
IMAGES = TESTS.parent / "docs/images"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

ERROR = '[data-mime-type="application/vnd.jupyter.stderr"]'

pytestmark = [
    pytest.mark.root,
    pytest.mark.timeout(900),
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: the lesson starts containers"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with lesson_engine() as engine:
        lab = Lab(tmp_path_factory.mktemp("lab"), surroundings(engine))
        try:
            yield lab
        finally:
            lab.close()


@pytest.fixture(scope="module")
def opened(browser: Browser, lab: Lab) -> Iterator[Page]:
    """The lesson as it was saved."""
    page = browser.new_page(viewport={"width": 1280, "height": 960})
    lab.open(page, LESSON)
    yield page
    page.close()


@pytest.fixture(scope="module")
def page(opened: Page) -> Page:
    """The lesson, run but for its last cell, which clears everything away."""
    run_up_to_the_last_cell(opened)
    return opened


def test_a_saved_lesson_shows_the_views_as_pictures(opened: Page) -> None:
    for name in ("mine has its own", "Image lab/first"):
        picture = opened.locator(f'.jp-OutputArea img[alt^="{name}"]')
        expect(picture).to_be_visible()
        assert picture.evaluate("image => image.naturalWidth") == 820


def test_only_the_cells_that_are_meant_to_fail_do(page: Page) -> None:
    assert failed_cells(page) == ["rnu", "run"]


def test_an_error_is_two_lines_without_a_traceback(page: Page) -> None:
    shown = page.locator(ERROR).first.inner_text()
    assert shown.strip().splitlines() == ["error: unknown command: rnu", "hint: did you mean `run`?"]


def test_the_namespaces_view_shows_what_is_the_containers_own(page: Page) -> None:
    view = page.get_by_role("region", name="Namespaces")
    cell = view.get_by_role("gridcell", name="pid: ").filter(has_text="process")
    expect(view.get_by_role("grid", name="namespaces by kind")).to_be_visible()
    expect(view.get_by_role("gridcell", name="mine's own")).to_have_count(6)
    expect(cell.last).to_be_visible()


def test_the_layers_view_shows_the_stack_and_the_writable_layer(page: Page) -> None:
    view = page.get_by_role("region", name="Layers")
    stack = view.get_by_role("tree", name="layers, top first")
    rows = [row.get_attribute("aria-label") or "" for row in stack.get_by_role("treeitem").all()]
    assert rows[0].startswith("writable layer of scribe")
    assert [row.split(",")[1].split()[0] for row in rows[1:]] == ["RUN", "RUN", "FROM"]


def test_a_layers_files_are_fetched_when_it_is_selected(page: Page) -> None:
    view = page.get_by_role("region", name="Layers")
    view.get_by_role("treeitem", name="step 2, RUN").click()
    files = view.get_by_role("tree", name="Files that step 2 changes")
    files.get_by_role("treeitem").filter(has_text="srv/").click()
    expect(files.get_by_role("treeitem").filter(has_text="card")).to_contain_text("hidden by step 3")


def test_files_are_fetched_while_a_cell_runs(page: Page) -> None:
    busy = page.locator(".jp-CodeCell .jp-InputPrompt", has_text="[*]")
    _add_and_start_cell(page, "import time; time.sleep(20)")
    expect(busy).to_have_count(1)
    view = page.get_by_role("region", name="Layers")
    view.get_by_role("treeitem", name="step 3, RUN").click()
    expect(view.get_by_role("tree", name="Files that step 3 changes")).to_contain_text("srv/", timeout=10_000)
    expect(busy).to_have_count(1)
    page.get_by_role("menuitem", name="Kernel", exact=True).click()
    page.get_by_role("menuitem", name="Interrupt Kernel").click()
    expect(busy).to_have_count(0)


def test_the_arrow_keys_walk_through_the_layers(page: Page) -> None:
    stack = page.get_by_role("region", name="Layers").get_by_role("tree", name="layers, top first")
    stack.get_by_role("treeitem", name="step 2, RUN").click()
    page.keyboard.press("ArrowUp")
    expect(stack.get_by_role("treeitem", name="step 3, RUN")).to_have_attribute("aria-selected", "true")
    expect(stack.get_by_role("treeitem", name="step 3, RUN")).to_be_focused()


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_the_views_are_drawn_in_both_themes(page: Page, tmp_path: Path, theme: str) -> None:
    """No claim but that something is drawn, in other colours; a person looks at the pictures."""
    choose_theme(page, theme)
    folder = IMAGES if os.environ.get("CUTAWAY_SCREENSHOT") else tmp_path
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("Namespaces", "Layers"):
        view = page.get_by_role("region", name=name)
        view.scroll_into_view_if_needed()
        view.screenshot(path=tmp_path / f"{name}.{theme}.png")
        background = view.evaluate("node => getComputedStyle(node).backgroundColor")
        assert background == {"Light": "rgb(255, 255, 255)", "Dark": "rgb(33, 33, 33)"}[theme]
    if theme == "Light":
        page.get_by_role("region", name="Namespaces").evaluate(
            "node => node.scrollIntoView({block: 'center'})"
        )
        page.screenshot(path=folder / "first-lesson.png")


def test_the_whole_lesson_runs_and_its_views_say_that_their_containers_are_gone(page: Page) -> None:
    run_all(page)
    assert failed_cells(page) == ["rnu", "run"]
    view = page.get_by_role("region", name="Namespaces")
    view.scroll_into_view_if_needed()
    expect(view.get_by_role("status")).to_have_text("removed", timeout=MINUTES)


def failed_cells(page: Page) -> list[str]:
    """The second word of each cell that shows an error."""
    cells = page.locator(".jp-CodeCell", has=page.locator(ERROR)).locator(".jp-InputArea-editor")
    return [text.split()[1] for text in cells.all_inner_texts()]


def _add_and_start_cell(page: Page, source: str) -> None:
    page.locator(".jp-Notebook .jp-CodeCell").last.locator(".cm-content").click()
    page.keyboard.press("Escape")
    page.keyboard.press("b")
    page.keyboard.press("Enter")
    page.keyboard.type(source)
    page.keyboard.press("Control+Enter")
