"""The report in a browser: what a person does with it, by mouse and by keyboard. Skipped where there is no Chromium."""

import json
import shlex
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

from headcount.builds import RELEASES
from headcount.environment import environment
from headcount.matrix.cells import default_cells
from headcount.oracle import Kind
from headcount.report import document, formats, sources
from helpers import ISSUE_410, hostile_results, miniature_results

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed (Debian's package: chromium)")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=[*QUIET, "--disable-component-update"])
        yield running
        running.close()


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return miniature_results(tmp_path_factory.mktemp("results"), "correct", "wrong-heads", "injects")


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A tab, in which nothing may be refused or go wrong."""
    tab = browser.new_page(viewport={"width": 1200, "height": 800})
    said: list[str] = []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    yield tab
    tab.close()
    assert said == []


def opened(page: Page, path: Path, found: Mapping[str, Any], view: str = "") -> Page:
    path.write_text(formats.html(found), "utf-8")
    page.goto(f"file://{path}{view}")
    page.wait_for_selector("html[data-ready=yes]")
    return page


def shown(page: Page, results: Path, tmp_path: Path, view: str = "") -> Page:
    return opened(page, tmp_path / "report.html", document.make(sources.load([results])).to_json(), view)


def test_filters(page: Page, results: Path, tmp_path: Path) -> None:
    shown(page, results, tmp_path)
    expect(page.locator("#shown")).to_have_text("2 cells shown, 6 of 6 verdicts")
    page.locator("select[name=verdict]").select_option("wrong-heads")
    expect(page.locator("#shown")).to_have_text("1 cells shown, 1 of 6 verdicts")
    assert page.url.endswith("#verdict=wrong-heads")
    page.locator("select[name=build]").select_option("correct")
    expect(page.locator("#shown")).to_have_text("0 cells shown, 0 of 6 verdicts")
    page.get_by_role("button", name="Show all").click()
    expect(page.locator("#shown")).to_have_text("2 cells shown, 6 of 6 verdicts")
    page.locator("input[name=text]").fill(ISSUE_410)
    expect(page.locator("#shown")).to_have_text("1 cells shown, 3 of 6 verdicts")
    page.locator("input[name=text]").fill("")
    page.locator("select[name=prune_num_heads]").select_option("true")
    expect(page.locator("#heatmap tbody tr:not(.group)")).to_have_count(1)


def test_a_view_can_be_linked(page: Page, results: Path, tmp_path: Path) -> None:
    shown(page, results, tmp_path, "#verdict=crash&build=injects")
    expect(page.locator("select[name=verdict]")).to_have_value("crash")
    expect(page.locator("#heatmap thead th")).to_have_count(2)
    page.goto(page.url.partition("#")[0] + "#verdict=ok")
    expect(page.locator("#shown")).to_have_text("2 cells shown, 3 of 6 verdicts")


def test_a_cell_s_details(page: Page, results: Path, tmp_path: Path) -> None:
    shown(page, results, tmp_path)
    page.locator("td[data-v=wrong-heads]").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("wrong-heads: block 0: 1 head is left, 2 should be: too few")
    expect(dialog.get_by_role("row", name="heads, block 0")).to_contain_text("1 ✗")
    address = page.url
    name = f"{environment()['transformers']}/wrong-heads/"
    assert f"cell={quote(name, safe='')}" in address
    dialog.get_by_role("button", name="Close").click()
    expect(page.locator("dialog[open]")).to_have_count(0)
    page.goto(address)
    expect(dialog).to_contain_text("1 head is left")


def test_what_a_failure_looks_like(page: Page, results: Path, tmp_path: Path) -> None:
    found = document.make(sources.load([results])).to_json()
    next(row for row in found["rows"] if row["verdict"] == "wrong-heads")["looks_like"] = ["idle-step", "float-heads"]
    opened(page, tmp_path / "report.html", found)
    page.locator("td[data-v=wrong-heads]").click()
    expect(page.get_by_role("dialog")).to_contain_text("idle-step or float-heads")


def test_a_command_is_copied(page: Page, results: Path, tmp_path: Path) -> None:
    shown(page, results, tmp_path)
    page.locator("td[data-v=wrong-heads]").click()
    page.get_by_role("button", name="Copy").first.click()
    expect(page.get_by_role("button", name="Copied").first).to_be_visible()
    page.evaluate("document.body.append(Object.assign(document.createElement('textarea'), {id: 'paste'}))")
    page.keyboard.press("Escape")
    page.locator("#paste").focus()
    page.keyboard.press("ControlOrMeta+V")
    assert f"-- emit {ISSUE_410} --build wrong-heads" in page.locator("#paste").input_value()


def test_the_keyboard_is_enough(page: Page, results: Path, tmp_path: Path) -> None:
    shown(page, results, tmp_path)
    cells = page.locator("#heatmap td[tabindex='0']")
    expect(cells).to_have_count(1)
    page.get_by_role("button", name="Show all").focus()
    page.keyboard.press("Tab")
    expect(page.locator("#own")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator("#cells")).to_be_focused()  # arrow keys scroll it
    page.keyboard.press("Tab")
    expect(cells).to_be_focused()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    here = page.evaluate("document.activeElement.ariaLabel")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_contain_text(here.partition(":")[0])
    page.keyboard.press("Escape")
    expect(page.locator("dialog[open]")).to_have_count(0)
    expect(page.locator("#heatmap td:focus")).to_have_attribute("aria-label", here)


def test_arrow_keys_pass_holes(page: Page, results: Path, tmp_path: Path) -> None:
    """A build that did not run a cell has none there."""
    found = document.make(sources.load([results])).to_json()
    found["rows"] = [row for row in found["rows"] if (row["build"], row["cell"]) != (1, 0)]
    opened(page, tmp_path / "holes.html", found)
    first = page.locator("#heatmap tbody tr:not(.group) td[data-row]").first
    row = page.locator("#heatmap tbody tr:not(.group)", has=page.locator(f"th[title='{found['cells'][0]['id']}']"))
    row.locator("td[data-row]").first.focus()
    row.locator("td[data-row]").first.evaluate("td => { td.tabIndex = 0; td.focus(); }")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.ariaLabel").startswith("injects: ")
    page.keyboard.press("Home")
    assert page.evaluate("document.activeElement.ariaLabel").startswith("correct: ")
    expect(first).to_be_visible()


def test_heads_and_names_stay_in_sight(page: Page, tmp_path: Path) -> None:
    """However far the cells are scrolled, either way."""
    opened(page, tmp_path / "large.html", many(versions=1))
    box = "document.querySelector('#cells').getBoundingClientRect()"
    page.evaluate("document.querySelector('#cells').scrollTo(200, 3000)")
    page.locator("#cells").scroll_into_view_if_needed()
    head, name = (
        page.evaluate(f"document.querySelector('{q}').getBoundingClientRect().toJSON()")
        for q in ("#heatmap thead th:last-child", "#heatmap tbody tr:nth-child(40) th")
    )
    assert abs(head["top"] - page.evaluate(f"{box}.top")) < 2
    assert abs(name["left"] - page.evaluate(f"{box}.left")) < 2


@pytest.mark.parametrize("width", [1366, 390])
def test_the_newest_release_is_seen_first(page: Page, tmp_path: Path, width: int) -> None:
    """In its column, and of each table; no name of a parameter is broken inside a word."""
    page.set_viewport_size({"width": width, "height": 800})
    opened(page, tmp_path / "large.html", many(versions=1))
    for table in ("answer", "heatmap"):
        first = page.locator(f"#{table} thead th").nth(1)
        expect(first).to_have_text(RELEASES[-1])
        first.scroll_into_view_if_needed()
        box = first.bounding_box()
        assert box is not None
        assert box["x"] + box["width"] <= width
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_answer_is_what_each_family_comes_to(page: Page, results: Path, tmp_path: Path) -> None:
    shown(page, results, tmp_path)
    expect(page.locator("#answer-words")).to_have_text("correct: 2 of 2 calls right; 0 known defects show.")
    rows = page.locator("#answer tbody tr")
    expect(rows.nth(0).locator("td")).to_have_text(["1/1", "1/1", "0/1"])
    expect(rows.nth(1).locator("td")).to_have_text(["1/1", "0/1", "0/1"])
    assert "wrong-heads: 1 right, 1 wrong, 0 crash" in (page.locator("#chart").get_attribute("aria-label") or "")
    rows.nth(1).get_by_role("button").click()
    expect(page.locator("#shown")).to_have_text("1 cells shown, 3 of 6 verdicts")


DROP = """([name, text]) => {
  const carried = new DataTransfer();
  carried.items.add(new File([text], name));
  window.dispatchEvent(new DragEvent("drop", { dataTransfer: carried, bubbles: true, cancelable: true }));
}"""


@pytest.mark.parametrize("dropped", [True, False], ids=["dropped", "chosen"])
def test_own_results_stand_in_front(page: Page, results: Path, tmp_path: Path, *, dropped: bool) -> None:
    own = miniature_results(tmp_path / "own", "wrong-heads")
    shown(page, results, tmp_path)
    if dropped:
        page.evaluate(DROP, [own.name, own.read_text()])
    else:
        page.locator("#own").set_input_files(own)
    expect(page.locator("#own-said")).to_have_text(f"{own.name} is shown, in front.")
    expect(page.locator("#shown")).to_have_text("2 cells shown, 8 of 8 verdicts")
    labels = page.locator("#heatmap thead th").all_inner_texts()
    assert labels == ["cell", "wrong-heads (yours)", "correct", "wrong-heads", "injects"]
    page.evaluate(DROP, [own.name, own.read_text()])
    expect(page.locator("#own-said")).to_contain_text("its cells are shown already")
    page.locator("select[name=build]").select_option("wrong-heads (yours)")
    page.locator("td[data-v=wrong-heads]").click()
    expect(page.get_by_role("dialog")).to_contain_text("wrong-heads")


def test_what_is_no_results_file_is_not_shown(page: Page, results: Path, tmp_path: Path) -> None:
    shown(page, results, tmp_path)
    for text in ("{}", "nonsense", '{"kind":"header","format":2}\n{"kind":"row","verdict":{"kind":"<b>"}}'):
        page.evaluate(DROP, ["other.jsonl", text])
        expect(page.locator("#own-said")).to_contain_text("other.jsonl is not shown: ")
        expect(page.locator("#shown")).to_have_text("2 cells shown, 6 of 6 verdicts")


def test_skip_to_the_grid(page: Page, results: Path, tmp_path: Path) -> None:
    shown(page, results, tmp_path, "#verdict=ok")
    page.keyboard.press("Tab")
    expect(page.locator("#skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#cells")).to_be_focused()
    assert page.url.endswith("#verdict=ok")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1366, 390])
def test_it_is_accessible(page: Page, results: Path, tmp_path: Path, width: int, scheme: str) -> None:
    """axe-core finds nothing: of the page, and of the dialog."""
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    shown(page, results, tmp_path)
    assert [broken["id"] for broken in Axe().run(page).response["violations"]] == []
    page.locator("td[data-v=wrong-heads]").first.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert [broken["id"] for broken in Axe().run(page).response["violations"]] == []


def test_the_back_button(page: Page, results: Path, tmp_path: Path) -> None:
    shown(page, results, tmp_path)
    page.locator("select[name=verdict]").select_option("wrong-heads")
    page.locator("td[data-v=wrong-heads]").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.go_back()
    expect(page.locator("dialog[open]")).to_have_count(0)
    page.go_back()
    expect(page.locator("#shown")).to_have_text("2 cells shown, 6 of 6 verdicts")


def test_what_is_not_there_is_said(page: Page, results: Path, tmp_path: Path) -> None:
    shown(page, results, tmp_path, "#verdict=fine")
    expect(page.locator("#shown")).to_contain_text("there is no verdict fine")
    page.goto(page.url.partition("#")[0] + "#cell=nowhere")
    expect(page.locator("#shown")).to_contain_text("there is no cell nowhere")


def test_a_comparison_leads_to_its_cells(page: Page, tmp_path: Path) -> None:
    base, candidate = (miniature_results(tmp_path, name) for name in ("correct", "wrong-heads"))
    both, comparison = sources.compare(*sources.load([base, candidate]))
    opened(page, tmp_path / "report.html", document.make(both, [comparison]).to_json())
    page.locator(".comparison button").click()
    expect(page.get_by_role("dialog")).to_contain_text("wrong-heads: block 0")


def test_a_command_is_quoted(page: Page, results: Path, tmp_path: Path) -> None:
    found = document.make(sources.load([results])).to_json()
    found["specs"][1] = "my wheel's $(touch x).whl"
    opened(page, tmp_path / "report.html", found)
    page.locator("td[data-v=wrong-heads]").click()
    command = page.locator("dialog pre").first.text_content() or ""
    assert shlex.split(command)[-2:] == ["--build", found["specs"][1]]


def test_verdicts_are_told_by_more_than_colour(page: Page, results: Path, tmp_path: Path) -> None:
    """And whatever is written has a contrast of 4.5 at least, in light and in dark."""
    shown(page, results, tmp_path)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        letters = set()
        for kind in Kind:
            found = page.evaluate(_CONTRAST, str(kind))
            letters.add(found["letter"])
            assert found["contrast"] >= 4.5, (scheme, kind, found)
        assert len(letters) == len(Kind)


_CONTRAST = """(kind) => {
  const cell = document.querySelector('#heatmap td[data-v]').cloneNode();
  cell.className = ''; cell.dataset.v = kind;
  document.querySelector('#heatmap td[data-v]').parentElement.append(cell);
  const style = getComputedStyle(cell);
  const light = (colour) => {
    const [r, g, b] = colour.match(/[0-9.]+/g).slice(0, 3).map((part) => part / 255)
      .map((part) => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const [a, b] = [light(style.color), light(style.backgroundColor)].sort((x, y) => y - x);
  cell.remove();
  return {letter: LETTERS[kind], contrast: (a + 0.05) / (b + 0.05)};
}"""


def test_it_fits_a_phone(page: Page, results: Path, tmp_path: Path) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    shown(page, results, tmp_path)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.locator("td[data-v=wrong-heads]").click()
    assert page.evaluate("document.querySelector('dialog').getBoundingClientRect().right") <= 360


def test_a_hostile_message_runs_no_script(page: Page, results: Path, tmp_path: Path) -> None:
    shown(page, hostile_results(results, tmp_path), tmp_path)
    title = page.title()
    for cell in page.locator("#heatmap td[data-row]").all():
        cell.click()
        expect(page.get_by_role("dialog")).to_contain_text("</script><script>")
        page.get_by_role("dialog").get_by_role("button", name="Close").click()
    assert page.title() == title
    assert page.locator("img").count() == 0


def test_the_policy_forbids_a_script_of_another(browser: Browser, results: Path, tmp_path: Path) -> None:
    tab = browser.new_page()
    refused: list[str] = []
    tab.on("console", lambda message: refused.append(message.text))
    shown(tab, results, tmp_path)
    tab.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'document.title = 1'}))"
    )
    assert tab.title() != "1"
    assert any("Content Security Policy" in line for line in refused)
    tab.close()


def many(versions: int) -> dict[str, Any]:
    """A document of every cell on every release and some transformers versions."""
    cells = default_cells()
    kinds = list(Kind)
    names = [f"5.{n}.0" for n in range(versions)]
    rows = [
        {
            "build": build,
            "transformers": version,
            "cell": cell,
            "verdict": kinds[(build + version + cell) % len(kinds)],
            "outcome": "expected",
            "reason": 0,
        }
        for version in range(versions)
        for build in range(len(RELEASES))
        for cell in range(len(cells))
    ]
    found: dict[str, Any] = {
        "format": document.FORMAT,
        "problems": [],
        "files": [],
        "builds": list(RELEASES),
        "transformers": names,
        "counts": {},
        "defects": [],
        "cells": [{"id": c.id, "model": c.model.id, "config": c.config.to_json(), "expected": {}} for c in cells],
        "rows": rows,
        "networks": [],
        "comparisons": [],
        "left": [],
        "specs": list(RELEASES),
        "totals": {},
        "texts": ["why"],
    }
    plain: dict[str, Any] = json.loads(json.dumps(found))
    return plain


def test_twenty_thousand_cells(page: Page, tmp_path: Path) -> None:
    """It opens, filters and opens a cell; how long that takes is in the README."""
    found = many(versions=4)
    assert len(found["rows"]) > 20_000
    opened(page, tmp_path / "large.html", found)
    expect(page.locator("#shown")).to_contain_text(f"of {len(found['rows'])} verdicts")
    page.locator("select[name=verdict]").select_option("crash")
    page.locator("td[data-v=crash]").first.click()
    expect(page.get_by_role("dialog")).to_contain_text("crash: why")
