"""The explorer page in a headless Chromium: it opens without a network, and its numbers are the table's."""

import csv
import io
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from alignsec.analysis import correlate as statistics
from alignsec.ground import tables
from alignsec.ground.schemas import SCHEMAS
from alignsec.report import explorer
from alignsec.report.findings import Study

TARGETS = ["clean_top1", "robust_top1@1/255", "median_distance"]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--no-first-run"]  # fmt: skip
HOSTILE = "</script><script>window.hacked = 1</script>"


@pytest.fixture(scope="module")
def study() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(2)
    n = 60
    total = pd.DataFrame({"model": [f"m {i}" for i in range(n)], "family": [f"f{i % 9}" for i in range(n)]})
    total.loc[0, "model"] = HOSTILE
    for name in ("average_vision", "V1", "a<b", 'quo"te', "few"):
        total[name] = rng.normal(size=n).round(2)  # with ties
    total.loc[10:20, "V1"] = np.nan
    total.loc[3:, "few"] = np.nan
    total["exported_V1"] = total["V1"] * 0.7
    for t in TARGETS:
        total[t] = np.clip(0.5 + 0.1 * total["a<b"] + 0.1 * rng.normal(size=n), 0, 1).round(2)
    total.loc[50:, TARGETS[2]] = np.nan
    tree = pd.DataFrame(
        {
            "benchmark": ["average_vision", "V1", "a<b", 'quo"te', "few"],
            "parent": [None, "average_vision", "V1", "V1", "average_vision"],
            "category": [None, "neural", "neural", "neural", "behavior"],
            "depth": [0, 1, 2, 2, 1],
            "is_leaf": [False, False, True, True, True],
            "n_scored": 1,
        }
    )
    return total, tree, statistics.correlate(total, tree, TARGETS, flips=1000)


def found(study: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]) -> Study:
    total, tree, table = study
    nothing = pd.DataFrame()
    return Study(total, tree, nothing, table, nothing, nothing, nothing, kinds=claimed())


def claimed() -> pd.DataFrame:
    """Two kinds, one of them supported, over two selections of models."""
    kinds = pd.DataFrame(
        {
            "kind": ["texts", "rest"],
            "name": ["names that <b>look</b> like markup", "the rest"],
            "area": ["V1", "behavior"],
            "verdict": ["supported", "cannot tell"],
            "rho": [0.512, 0.1],
            "low": [0.31, np.nan],
            "high": [0.7, np.nan],
            "raw_rho": [0.61, 0.2],
            "p": [0.0004, 0.62],
            "leaves": ['a<b; quo"te', "few"],
        }
    )
    both = [kinds.assign(rows=rows, n=n) for rows, n in (("primary", 50), ("with adversarially trained", 60))]
    table = pd.concat(both, ignore_index=True).assign(target=TARGETS[1], margin=0.3, n_leaves=1)
    return table.reindex(columns=list(SCHEMAS["kinds"]))


def test_content_is_the_tables(study: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]) -> None:
    total, tree, table = study
    content = explorer.content(found(study), "s")
    assert [b["name"] for b in content["benchmarks"]] == [*tree["benchmark"], "exported_V1"]
    np.testing.assert_array_equal(np.array(content["values"]["V1"], float), total["V1"].to_numpy())
    assert len(content["rows"]) == len(table)
    assert content["start"] == "robust_top1@1/255"
    text = explorer.page(found(study), "s")
    assert HOSTILE not in text
    assert "{{" not in text[:2000]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api")
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    with sync_api.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=found, args=FLAGS, timeout=180_000)
        yield opened
        opened.close()


@pytest.fixture
def page(
    browser: Any, study: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame], tmp_path: Path
) -> Iterator[Any]:
    path = tmp_path / "explorer.html"
    tables.write_text(path, explorer.page(found(study), "s"))
    context = browser.new_context(viewport={"width": 1400, "height": 1000}, accept_downloads=True)
    context.set_default_timeout(120_000)  # a busy machine is no failure
    opened = context.new_page()
    asked, wrong = [], []
    opened.on("request", lambda r: asked.append(r.url))
    opened.on("pageerror", lambda e: wrong.append(str(e)))
    opened.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
    context.set_offline(True)
    opened.goto(path.as_uri())
    opened.wait_for_selector("#plot .plotly .main-svg")
    yield opened
    assert [u for u in asked if not u.startswith(("file:", "data:", "blob:"))] == []
    assert wrong == []
    context.close()


def shown(page: Any) -> dict[str, float | None]:
    raw = {k: page.locator(f"#{k}").get_attribute("data-value") for k in ("n", "rho", "r2")}
    return {k: float(v) if v else None for k, v in raw.items()}


def choose(page: Any, benchmark: str) -> None:
    page.locator("#tree button").filter(has_text=benchmark).first.click()


def test_every_choice_shows_the_numbers_of_the_table(
    page: Any, study: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame], tmp_path: Path
) -> None:
    tables.write_csv(study[2], tmp_path / "all.csv")
    every = pd.read_csv(tmp_path / "all.csv")
    checked = set()
    page.locator("#exported").check()
    for row in every.itertuples():
        page.select_option("#target", row.target)
        names = page.locator("#tree button")
        names.nth([names.nth(i).inner_text() for i in range(names.count())].index(row.benchmark)).click()
        found = shown(page)
        assert found["n"] == row.n
        for column in ("rho", "r2"):
            wanted = getattr(row, column)
            if np.isnan(wanted):
                assert found[column] is None
            else:
                assert found[column] == pytest.approx(wanted, abs=1e-12)
        checked.add((found["n"], found["rho"]))
        if np.isfinite(row.rho_low):
            low, high = (f"{v:.2f}".replace("-", "−") for v in (row.rho_low, row.rho_high))
            assert f"[{low}, {high}]" in page.locator("#sure").inner_text()
    assert len(every) == 18 and len(checked) > 12  # choosing changes the numbers


def test_it_opens_on_the_kinds_and_a_kind_lists_its_leaves(page: Any) -> None:
    rows = page.locator("#kinds-table tbody tr")
    assert rows.count() == 2
    first = rows.nth(0).inner_text()
    for said in ("names that <b>look</b> like markup", "50", "0.51", "0.31 to 0.70", "< .001", "supported"):
        assert said in first
    top = page.locator("#kinds").bounding_box()["y"]
    assert top < page.locator("main").bounding_box()["y"]
    page.select_option("#kinds-rows", "with adversarially trained")
    assert "60" in rows.nth(0).inner_text() and "50" not in rows.nth(0).inner_text()
    rows.nth(0).locator("button").focus()
    page.keyboard.press("Enter")
    assert page.locator("#tree button").all_inner_texts() == ["a<b", 'quo"te']
    assert page.locator("#table tbody tr").count() == 2
    assert page.locator("#target").input_value() == TARGETS[1]
    assert page.locator("#tree button[aria-current=true]").inner_text() == "a<b"  # the stronger of the two
    page.locator("#every").click()
    assert page.locator("#tree button").count() == 5


def test_a_screen_reader_can_use_the_page(page: Any) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    violations = axe.Axe().run(page).response["violations"]
    assert {v["id"] for v in violations if v["impact"] in ("serious", "critical")} == set()


def test_a_study_without_claims_opens_on_the_plot(
    browser: Any, study: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame], tmp_path: Path
) -> None:
    path = tmp_path / "explorer.html"
    tables.write_text(path, explorer.page(replace(found(study), kinds=None), "s"))
    page = browser.new_page()
    page.goto(path.as_uri())
    page.wait_for_selector("#plot .plotly .main-svg")
    assert page.locator("#kinds").is_hidden()
    page.close()


def test_a_family_left_out_is_left_out(
    page: Any, study: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]
) -> None:
    total = study[0]
    choose(page, "V1")
    page.select_option("#target", TARGETS[1])
    page.locator("#families input[value=f3]").uncheck()
    left = total[total["family"] != "f3"][["V1", TARGETS[1]]].dropna()
    found = shown(page)
    assert found["n"] == len(left)
    assert found["rho"] == pytest.approx(left.corr(method="spearman").iloc[0, 1], abs=1e-12)
    assert found["r2"] == pytest.approx(left.corr().iloc[0, 1] ** 2, abs=1e-12)
    assert "for all families together only" in page.locator("#sure").inner_text()
    page.locator("#none").click()
    assert shown(page) == {"n": 0, "rho": None, "r2": None}
    page.locator("#all").click()
    assert shown(page)["n"] == total[["V1", TARGETS[1]]].dropna().shape[0]


def test_tree_finds_table_sorts_and_hover_names_models(page: Any) -> None:
    names = "#table tbody tr td:nth-child(1)"
    page.locator("#search").fill("v1")
    assert page.locator("#tree button").all_inner_texts() == ["V1"]
    assert page.locator(names).all_inner_texts() == ["V1"]
    assert page.locator("#rows").inner_text().startswith("1 of 6 benchmarks")
    page.locator("#exported").check()
    assert page.locator("#tree button").all_inner_texts() == ["V1", "exported_V1"]
    assert sorted(page.locator(names).all_inner_texts()) == ["V1", "exported_V1"]
    page.locator("#exported").uncheck()
    page.locator("#search").fill("")
    assert "exported_V1" not in page.locator(names).all_inner_texts()
    head = page.locator("#table th button")
    column = [head.nth(i).get_attribute("data-column") for i in range(head.count())].index("rho")
    assert head.nth(column).inner_text().startswith("ρ")
    assert "Spearman" in head.nth(column).get_attribute("title")

    def rhos() -> list[float]:
        cells = page.locator(f"#table tbody tr td:nth-child({column + 1})").all_inner_texts()
        return [float(c.replace("−", "-")) for c in cells if c != "–"]

    assert rhos() == sorted(rhos(), reverse=True)
    head.nth(column).click()
    assert rhos() == sorted(rhos())
    page.locator("#table tbody tr").filter(has_text="a<b").click()
    assert page.locator("#tree [aria-current=true]").inner_text() == "a<b"
    texts = page.evaluate("document.getElementById('plot').data.flatMap(t => t.text || [])")
    assert len(texts) == 60 and "m 7 (f7)" in texts
    assert page.evaluate("window.hacked") is None


def test_a_target_says_what_attacked_and_no_list_mixes_kinds(page: Any) -> None:
    page.select_option("#target", TARGETS[1])
    assert page.locator("#about").inner_text().startswith("AutoAttack top-1, ε = 1/255: AutoAttack; ")
    groups = page.locator("#target optgroup")
    assert [groups.nth(i).get_attribute("label") for i in range(groups.count())] == [
        "adversarial Linf", "clean",
    ]  # fmt: skip


COVERED = """
() => [...document.querySelectorAll('button, select, input, #about, #sure, #chosen')].filter((e) => {
  const box = e.getBoundingClientRect();
  const [x, y] = [box.left + box.width / 2, box.top + box.height / 2];
  if (!box.width || y > innerHeight || y < 0) return false;
  const list = e.closest('nav, aside');
  if (list && (y > list.getBoundingClientRect().bottom || y < list.getBoundingClientRect().top)) return false;
  const top = document.elementFromPoint(x, y);
  return x > innerWidth || !(e === top || e.contains(top) || top?.contains(e) && top.tagName === 'LABEL');
}).map((e) => e.id || e.textContent)
"""


def test_nothing_is_covered_or_cut_off_on_a_small_screen(page: Any) -> None:
    page.set_viewport_size({"width": 1280, "height": 800})
    page.wait_for_function("document.querySelector('#plot .main-svg').getBoundingClientRect().width < 800")
    assert page.evaluate(COVERED) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    plot, sure, chosen = (
        page.evaluate(f"(() => {{ const b = document.querySelector('{q}').getBoundingClientRect(); "
                      "return [b.top, b.bottom]; })()")
        for q in ("#plot .main-svg", "#sure", "#chosen")
    )  # fmt: skip
    main = page.evaluate("document.querySelector('main').getBoundingClientRect().bottom")
    assert plot[1] <= chosen[0] + 1 and chosen[1] <= sure[0] + 1 and sure[1] <= main + 1


def test_points_table_and_picture_can_be_kept(
    page: Any, study: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame], tmp_path: Path
) -> None:
    total, _, table = study
    choose(page, "a<b")
    page.select_option("#target", TARGETS[2])
    kept = {}
    for button in ("points", "table-csv", "picture"):
        with page.expect_download() as caught:
            page.locator(f"#{button}").click()
        caught.value.save_as(tmp_path / button)
        kept[button] = tmp_path / button
    points = pd.read_csv(kept["points"])
    wanted = total[["model", "family", "a<b", TARGETS[2]]].dropna().reset_index(drop=True)
    pd.testing.assert_frame_equal(points, wanted)
    rows = list(csv.DictReader(io.StringIO(kept["table-csv"].read_text())))
    assert {r["benchmark"] for r in rows} == set(table["benchmark"])
    assert kept["picture"].read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
