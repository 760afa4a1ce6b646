"""The documentation as a site: built with warnings as errors, usable by everybody."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.report.test_explorer import FLAGS

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(place)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return place


def test_every_page_of_the_docs_is_in_it(site: Path) -> None:
    pages = {p.stem for p in (ROOT / "docs").glob("*.md")}
    assert pages | {"index", "configuration", "tables", "reference", "changelog"} <= {
        p.stem for p in site.glob("*.html")
    }


def test_columns_and_functions_are_explained(site: Path) -> None:
    tables = (site / "tables.html").read_text(encoding="utf-8")
    assert "rank correlation given the control" in tables and "within_verdict" in tables
    reference = (site / "reference.html").read_text(encoding="utf-8")
    for name in ("load_leaderboard", "relate", "evaluate", "check", "evaluate_robustness"):
        assert f'id="alignsec.{name}"' in reference or f'id="alignsec.attack.{name}"' in reference


def faults(path: Path) -> dict[str, Any]:
    """Serious and critical findings of axe on a page, as rule to how many places."""
    sync_api = pytest.importorskip("playwright.sync_api")
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=FLAGS, timeout=180_000)
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.goto(path.as_uri())
        violations = axe.Axe().run(page).response["violations"]
        browser.close()
    return {v["id"]: len(v["nodes"]) for v in violations if v["impact"] in ("serious", "critical")}


@pytest.mark.parametrize("name", ["index", "tables", "reference", "results", "attack"])
def test_a_screen_reader_can_use_a_page(site: Path, name: str) -> None:
    assert faults(site / f"{name}.html") == {}


def test_what_cannot_be_read_is_found(tmp_path: Path) -> None:
    page = tmp_path / "pale.html"
    page.write_text("<html lang=en><title>x</title><main><p style='color:#ccc'>pale</p></main></html>")
    assert faults(page) == {"color-contrast": 1}
