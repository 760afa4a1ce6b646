"""Correlations against other libraries; where there is nothing to estimate; the files that are written."""

from pathlib import Path

import numpy as np
import pandas as pd
import pingouin
import pytest
from scipy.stats import linregress
from statsmodels.stats.multitest import multipletests
from typer.testing import CliRunner

from alignsec.analysis.correlate import correlate, write
from alignsec.cli import app
from alignsec.ground import tables
from alignsec.ground.errors import AlignsecError
from alignsec.ground.schemas import SCHEMAS

TARGETS = ["clean_top1", "robust_top1@1/255", "robust_top1@L2:0.5"]
ESTIMATES = ["rho", "p", "q", "pearson_r", "r2", "slope", "intercept", "p_ols"]


def tree(leaves: list[str]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "benchmark": ["root", *leaves],
            "parent": [None, *["root"] * len(leaves)],
            "category": [None, *["neural"] * len(leaves)],
            "depth": [0, *[1] * len(leaves)],
            "is_leaf": [False, *[True] * len(leaves)],
            "n_scored": 1,
        }
    )


def models(leaves: list[str], n: int = 60, seed: int = 0, missing: float = 0.2) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    total = pd.DataFrame({"model": [f"m{i}" for i in range(n)], "family": [f"f{i % 9}" for i in range(n)]})
    ability = rng.normal(size=n)
    for i, name in enumerate(["root", *leaves, *TARGETS]):
        values = (i % 3) / 2 * ability + rng.normal(size=n)
        total[name] = np.where(rng.random(n) < missing, np.nan, values)
    return total


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_estimates_agree_with_pandas_and_scipy_over_complete_pairs(seed: int) -> None:
    leaves = ["a", "b", "c", "d"]
    total = models(leaves, seed=seed)
    table = correlate(total, tree(leaves), TARGETS)
    rho = total[["root", *leaves, *TARGETS]].corr(method="spearman")
    for row in table.itertuples():
        pairs = total[["family", row.benchmark, row.target]].dropna()
        line = linregress(pairs[row.benchmark], pairs[row.target])
        assert row.rho == pytest.approx(rho.loc[row.benchmark, row.target], abs=1e-12)
        found = (row.pearson_r, row.r2, row.slope, row.intercept, row.p_ols)
        wanted = (line.rvalue, line.rvalue**2, line.slope, line.intercept, line.pvalue)
        assert found == pytest.approx(wanted, abs=1e-12)
        assert (row.n, row.n_families) == (len(pairs), pairs["family"].nunique())
        assert row.loss_of_n == (total[row.target].notna() & total[row.benchmark].isna()).sum()
    assert table["loss_of_n"].min() > 0


def test_spearman_agrees_with_pingouin() -> None:
    total = models(["a"])
    row = correlate(total, tree(["a"]), TARGETS).set_index(["benchmark", "target"]).loc[("a", TARGETS[1])]
    pairs = total[["a", TARGETS[1]]].dropna()
    other = pingouin.corr(pairs["a"], pairs[TARGETS[1]], method="spearman").iloc[0]
    assert (row["n"], row["rho"]) == pytest.approx((other["n"], other["r"]))


def test_q_is_benjamini_hochberg_over_leaves_and_targets_of_one_kind() -> None:
    leaves = [f"b{i}" for i in range(20)]
    total = models(leaves, seed=3)
    total["b3"] = 1.0
    total["robust_top1@2/255"] = total["robust_top1@1/255"] + np.random.default_rng(4).normal(size=len(total))
    table = correlate(total, tree(leaves), [*TARGETS, "robust_top1@2/255"])
    tested = table["is_leaf"] & table["p"].notna()
    assert table["target_kind"].value_counts().to_dict() == {
        "adversarial Linf": 42, "adversarial L2": 21, "clean": 21,
    }  # fmt: skip
    for kind, count in (("adversarial Linf", 38), ("adversarial L2", 19), ("clean", 19)):
        mine = tested & (table["target_kind"] == kind)
        assert mine.sum() == count
        wanted = multipletests(table.loc[mine, "p"], method="fdr_bh")[1]
        np.testing.assert_allclose(table.loc[mine, "q"], wanted, rtol=1e-12)
    assert table.loc[~tested, "q"].isna().all()
    # the parent has a p of its own, which must not enter the correction
    assert table.loc[~table["is_leaf"], "p"].notna().all()


def test_what_else_a_study_measured_changes_no_q() -> None:
    leaves = [f"b{i}" for i in range(20)]
    total = models(leaves, seed=5)
    corruptions = [f"corruption_top1@fog-{i}" for i in range(1, 6)]
    for name in corruptions:
        total[name] = total["b1"] + 0.1 * np.random.default_rng(6).normal(size=len(total))
    alone, among = (correlate(total, tree(leaves), [*TARGETS, *more]) for more in ([], corruptions))
    among = among[among["target"].isin(TARGETS)].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, among)


def test_rows_keep_the_order_of_the_tree_and_hold_the_schema() -> None:
    leaves = ["z", "a", "m"]
    table = correlate(models(leaves), tree(leaves), TARGETS[::-1])
    assert table["benchmark"].tolist() == [b for b in ["root", *leaves] for _ in TARGETS]
    assert table["target"].tolist() == TARGETS[::-1] * 4
    assert list(table.columns) == list(SCHEMAS["correlations"])
    tables.validate(table, "correlations")
    tables.validate(correlate(models(leaves), tree(leaves), []), "correlations")


@pytest.mark.parametrize(
    ("have", "note"),
    [
        (0, "no model has both"),
        (1, "only 1 model has both"),
        (4, "only 4 models have both"),
        (5, "no interval, no test: 5 families, 6 are needed"),
        (8, "no interval: 8 models, 25 are needed"),
        (40, ""),
    ],
)
def test_too_few_models_leave_a_row_with_a_note(have: int, note: str) -> None:
    total = models(["a"], missing=0)
    total.loc[have:, "a"] = np.nan
    row = correlate(total, tree(["a"]), TARGETS[:1]).iloc[1]
    assert (row["n"], row["n_families"], row["loss_of_n"]) == (have, min(have, 9), 60 - have)
    assert row["note"] == note
    assert row[["rho", "r2", "slope"]].notna().all() == (have >= 5)
    assert pd.notna(row["p"]) == (have >= 8)
    assert pd.notna(row["rho_low"]) == pd.notna(row["rho_high"]) == (have == 40)


def test_constant_columns_leave_a_row_with_a_note() -> None:
    total = models(["a", "b"], missing=0)
    total["a"] = 0.3
    total[TARGETS[0]] = [0.1 + 0.2, 0.3] * 30  # equal up to rounding: ranks would make two groups of it
    table = correlate(total, tree(["a", "b"]), TARGETS[:2]).set_index(["benchmark", "target"])
    assert table.loc[("a", TARGETS[1]), "note"] == "the benchmark is constant"
    assert table.loc[("b", TARGETS[0]), "note"] == "the target is constant"
    assert table.loc[("a", TARGETS[1]), "n"] == 60
    assert table.loc[[("a", TARGETS[1]), ("b", TARGETS[0])], ESTIMATES].isna().all(axis=None)


def test_a_constant_among_the_pairs_only_counts_as_constant() -> None:
    total = models(["a"], missing=0)
    total["a"] = [1.0] * 30 + list(range(30))
    total.loc[30:, TARGETS[0]] = np.nan
    row = correlate(total, tree(["a"]), TARGETS[:1]).iloc[1]
    assert (row["n"], row["note"]) == (30, "the benchmark is constant")


def test_permuting_a_target_destroys_its_correlation_only() -> None:
    total = models(["a"], n=200, missing=0)
    total[TARGETS[0]] = total["a"] ** 3
    before = correlate(total, tree(["a"]), TARGETS[:2]).set_index(["benchmark", "target"])
    assert before.loc[("a", TARGETS[0]), "rho"] == pytest.approx(1)
    assert before.loc[("a", TARGETS[0]), "r2"] < 0.9
    total[TARGETS[0]] = np.random.default_rng(5).permutation(total[TARGETS[0]])
    after = correlate(total, tree(["a"]), TARGETS[:2]).set_index(["benchmark", "target"])
    assert abs(after.loc[("a", TARGETS[0]), "rho"]) < 0.25
    assert after.loc[("a", TARGETS[1]), "rho"] == before.loc[("a", TARGETS[1]), "rho"]


def test_unknown_columns_are_named() -> None:
    total = models(["a"])
    with pytest.raises(AlignsecError, match="benchmark 'gone'"):
        correlate(total, tree(["a", "gone"]), TARGETS)
    with pytest.raises(AlignsecError, match=r"target 'clean_top2' .*'clean_top1'"):
        correlate(total, tree(["a"]), ["clean_top2"])


# ---- the files ---------------------------------------------------------------------------------------------


def names(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir()}


def test_the_verb_leaves_its_inputs_and_what_is_not_its_own_beside_its_output(tmp_path: Path) -> None:
    total, benchmarks = models(["a/b", "c"]), tree(["a/b", "c"])
    tables.write(total, tmp_path / "total.parquet", "total_scores")
    tables.write(benchmarks, tmp_path / "benchmarks.parquet", "benchmarks")
    measured = pd.DataFrame(
        {"model": "m0", "target": TARGETS, "value": 0.5, "low": None, "high": None, "n": None}
    )
    tables.write(measured, tmp_path / "robustness.parquet", "robustness")
    (tmp_path / "mine.parquet").write_text("no table at all")
    total.to_parquet(tmp_path / "theirs.parquet")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    arguments = ["--total", "total.parquet", "--benchmarks", "benchmarks.parquet"]
    arguments += ["--robustness", "robustness.parquet", "--out", "x.parquet"]
    given = [str(tmp_path / a) if a.endswith("parquet") else a for a in arguments]
    ended = CliRunner().invoke(app, ["analysis", "correlate", *given, "--flips", "50"])
    assert ended.exit_code == 0, ended.output
    made = {"x.parquet", "x.csv", "root.parquet", "a_2fb.parquet", "c.parquet"}
    assert names(tmp_path) == before.keys() | made
    assert {n: (tmp_path / n).read_bytes() for n in before} == before


def test_files_of_benchmarks_that_are_gone_are_removed_and_no_others(tmp_path: Path) -> None:
    table = correlate(models(["a", "b"]), tree(["a", "b"]), TARGETS, flips=50)
    write(table, tmp_path / "all.parquet")
    part = table[table["benchmark"] == "a"]
    # a user's copy under another name, and another gathered table, are of the same kind
    tables.write(part, tmp_path / "copy.parquet", "correlations")
    tables.write(table, tmp_path / "b2.parquet", "correlations")
    write(table[table["benchmark"] != "a"], tmp_path / "all.parquet")
    kept = {"all.parquet", "all.csv", "root.parquet", "b.parquet", "copy.parquet", "b2.parquet"}
    assert names(tmp_path) == kept
    pd.testing.assert_frame_equal(
        tables.read(tmp_path / "b.parquet", "correlations"),
        tables.validate(table[table["benchmark"] == "b"].reset_index(drop=True), "correlations"),
    )


def test_a_file_of_a_benchmarks_name_that_is_not_its_own_is_refused_and_kept(tmp_path: Path) -> None:
    total, benchmarks = models(["a"]), tree(["a"])
    table = correlate(total, benchmarks, TARGETS, flips=50)
    tables.write(benchmarks, tmp_path / "a.parquet", "benchmarks")
    before = (tmp_path / "a.parquet").read_bytes()
    with pytest.raises(
        AlignsecError, match=r"a\.parquet: a file of another kind, .* write to another folder"
    ):
        write(table, tmp_path / "all.parquet")
    assert names(tmp_path) == {"a.parquet"} and (tmp_path / "a.parquet").read_bytes() == before
    with pytest.raises(AlignsecError, match="a benchmark is called 'a', as the table of all"):
        write(table, tmp_path / "a.parquet")
    with pytest.raises(AlignsecError, match="name it"):
        write(table, tmp_path / "all.csv")
    assert names(tmp_path) == {"a.parquet"}
