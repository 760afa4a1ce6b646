"""The page of results, and controls, on the published study made offline from the mirror."""

import re
from pathlib import Path

import pandas as pd
import pytest

from alignsec.analysis import replication
from alignsec.analysis.correlate import correlate
from alignsec.report import results
from alignsec.study.layout import of_study

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.workflow, pytest.mark.slow]


def test_the_page_of_results_is_what_these_tables_say_and_the_same_each_time(
    place: Path, tmp_path: Path
) -> None:
    pages = [tmp_path / "a" / "results.md", tmp_path / "b" / "results.md"]
    for page in pages:
        results.write(place / of_study("published").root, page, "results.png")
    for name in ("results.md", "results.csv", "results.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()

    def lines(page: Path) -> list[str]:
        # the hash of the code is of the page as it was made
        return [x for x in page.read_text(encoding="utf-8").splitlines() if results.CODE not in x]

    assert lines(pages[0]) == lines(ROOT / "docs" / "results.md"), "make results-page"


def test_every_number_in_a_sentence_of_the_page_is_in_its_table(place: Path, tmp_path: Path) -> None:
    page = results.write(place / of_study("published").root, tmp_path / "results.md", "results.png")
    shown = set(pd.read_csv(page.with_suffix(".csv"), dtype=str)["shown"])
    text = page.read_text(encoding="utf-8").split("## What attacked")[0]
    # what is no result: the level of the tests, percentages of intervals, names, years and claims in their
    # words
    said = re.sub(
        r"\[[^\]]*\]\([^)]*\)|`[^`]*`|95 %|80 %|family-wise error of \.05|q < \.05|ε = [0-9./]+", "", text
    )
    cells = [c for line in said.splitlines() if line.startswith("|") for c in line.split("|")[3:]]
    prose = [line for line in said.splitlines() if not line.startswith(("|", "#", "!"))]
    numbers = [x for part in (*cells, *prose) for x in re.findall(r"−?\d(?:[\d,]*\d)?(?:\.\d+)?", part)]
    assert len(numbers) > 100
    claims = " ".join(
        replication.read_claims(ROOT / "config" / "published" / "claims.yaml")["claims"][i]["claim"]
        for i in range(9)
    )
    assert [x for x in numbers if x not in shown and x not in claims] == []


def test_controls_are_found_and_not_found_through_the_same_code(place: Path) -> None:
    """Adversarial training as a benchmark is found; a number of parameters and missing leaves are not
    claimed.
    """
    study = of_study("published")
    total = pd.read_parquet(place / study.total)
    covariates = pd.read_csv(place / study.covariates).set_index("model")
    leaves = pd.read_parquet(place / study.benchmarks)
    names = list(leaves.loc[leaves["is_leaf"], "benchmark"])
    of = covariates.reindex(total["model"])
    total["adversarially trained"] = (of["training"] == "adversarial").astype(float).to_numpy()
    total["parameters"] = of["parameters"].astype(float).to_numpy()
    total["missing leaves"] = total[names].isna().sum(axis=1).astype(float)
    total["order"] = range(len(total))
    pseudo = ["adversarially trained", "parameters", "missing leaves", "order"]
    tree = pd.DataFrame(
        {"benchmark": pseudo, "parent": None, "category": None, "depth": 0, "is_leaf": True, "n_scored": 1}
    )
    target = "pgd_top1@0.5/255[testbed]"
    found = correlate(total.drop(columns=names), tree, [target]).set_index("benchmark")
    assert (
        found.loc["adversarially trained", "rho"] > 0.6 and found.loc["adversarially trained", "rho_low"] > 0
    )
    assert (found.loc[pseudo[1:], "q"] > 0.05).all()
