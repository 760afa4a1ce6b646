"""The published study, offline from the mirror, against pandas and scipy on the raw files."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from scipy.stats import spearmanr

from alignsec.analysis import replication
from alignsec.analysis.correlate import correlate
from alignsec.report import results
from alignsec.study.layout import of_study

ROOT = Path(__file__).resolve().parents[2]
PGD = {"pgd.linf.eps0.5": "pgd_top1@0.5/255[testbed]", "pgd.linf.eps2": "pgd_top1@2/255[testbed]",
       "pgd.l2.eps0.1": "pgd_top1@L2:0.1[testbed]", "val": "clean_top1[testbed]"}  # fmt: skip

pytestmark = pytest.mark.workflow


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, data_dir: Path) -> Path:
    """Where the study ran as far as its correlations."""
    if not (data_dir / "published").is_dir():
        pytest.skip(f"no published tables below {data_dir}: set ALIGNSEC_DATA")
    folder = tmp_path_factory.mktemp("published")
    study = of_study("published")
    wanted = (
        study.correlations.with_suffix(".csv"),
        study.names,
        study.kinds,
        study.selections,
        study.replication,
    )
    targets = [str(path) for path in (*wanted, study.figure("kinds", "png"))]
    command = [sys.executable, "-m", "snakemake", *targets, "-s", str(ROOT / "Snakefile"), "--cores", "2"]
    command += ["--quiet", "all", "--configfile", str(ROOT / "config" / "published.yaml")]
    environment = {**os.environ, "ALIGNSEC_MIRROR": str(data_dir)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def raw(data_dir: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Leaderboard and testbed as they were published."""
    board = pd.read_csv(next((data_dir / "brainscore").glob("leaderboard_*.csv")))
    bed = pd.read_csv(next((data_dir / "published" / "testbed").glob("*.csv")), index_col="model") / 100
    return board, bed


def test_correlations_are_those_of_the_raw_files(place: Path, data_dir: Path) -> None:
    board, bed = raw(data_dir)
    names = pd.read_csv(ROOT / "config" / "published" / "name_map.tsv", sep="\t")
    names = names[names["source"] == "testbed"].set_index("leaderboard_model")["source_model"]
    study = of_study("published")
    table = pd.read_csv(place / study.correlations.with_suffix(".csv"))
    scores = pd.read_parquet(place / study.scores).pivot(index="model", columns="benchmark", values="score")
    once = board[~board["model_name"].duplicated(keep=False)].set_index("model_name")
    compared = 0
    for theirs, target in PGD.items():
        joined = names.map(bed[theirs]).dropna()
        mine = table[(table["target"] == target) & table["is_leaf"]].set_index("benchmark")
        for leaf in mine.index:
            y = scores[leaf].reindex(joined.index).dropna()
            # what was parsed is what was published, where a model has one row
            if leaf in once:
                shown = pd.to_numeric(once[leaf].reindex(y.index), errors="coerce").dropna()
                assert not ((shown - y[shown.index]).abs() > 1e-12).any()
            assert mine.loc[leaf, "n"] == len(y)
            if len(y) < 5 or y.nunique() < 2 or pd.isna(mine.loc[leaf, "rho"]):
                continue
            rho = spearmanr(y, joined[y.index]).statistic
            assert mine.loc[leaf, "rho"] == pytest.approx(rho, abs=1e-9)
            compared += 1
    assert compared > 300


def test_rows_networks_and_families_are_counted(place: Path) -> None:
    study = of_study("published")
    identities = pd.read_csv(place / study.identities)
    counts = identities.groupby(["source", "identity"]).size().unstack(fill_value=0)
    assert counts.loc["testbed"].to_dict() == {
        "likely": 23, "same weights": 32, "same weights, other input size": 6,
    }  # fmt: skip
    total = pd.read_parquet(place / study.total)
    registry = pd.read_parquet(place / study.registry)
    target = "pgd_top1@0.5/255[testbed]"
    have = total[total[target].notna()]
    assert len(have) == 57
    loadable = have[have["model"].isin(registry["model"])]
    network = identities[identities["source"] == "testbed"].set_index("model")["network"]
    assert (len(loadable), loadable["family"].nunique()) == (36, 11)
    assert loadable["model"].map(network).nunique() == 29
    whole = loadable[["average_vision", target]].dropna()
    assert len(whole) == 33 and spearmanr(whole["average_vision"], whole[target]).statistic == pytest.approx(
        0.155, abs=5e-4
    )


def test_nothing_is_joined_that_the_map_does_not_say(place: Path) -> None:
    names = pd.read_csv(ROOT / "config" / "published" / "name_map.tsv", sep="\t")
    robustness = pd.read_parquet(place / of_study("published").robustness)
    said = set(names["leaderboard_model"] + "[" + names["source"] + "]")
    found = robustness["model"] + robustness["target"].str.extract(r"(\[[a-z_]+\])$")[0]
    assert set(found) <= said


def test_torch_is_loaded_by_no_step(place: Path) -> None:
    code = (
        "import sys\n"
        "sys.modules |= dict.fromkeys(('torch', 'torchvision', 'brainscore_vision', 'pyautoattack'))\n"
        "from pathlib import Path\n"
        "from alignsec.robustness import published\n"
        f"root = Path({str(ROOT / 'config' / 'published')!r})\n"
        "print(published.run(Path('results/published'), root / 'sources.yaml', root / 'name_map.tsv', "
        "['testbed'], [], own=False))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=place, capture_output=True, text=True)
    assert done.returncode == 0 and "targets" in done.stdout, done.stderr[-2000:]


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
    numbers = [x for part in (*cells, *prose) for x in re.findall(r"−?\d[\d,]*(?:\.\d+)?", part)]
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
        found.loc["adversarially trained", "rho"] > 0.6
        and found.loc["adversarially trained", "rho_low"] > 0.2
    )
    assert (found.loc[pseudo[1:], "q"] > 0.05).all()
