"""What the same correlations are over other rows than the primary ones."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pingouin
import pytest
from scipy.stats import false_discovery_control

from alignsec.analysis import parents, rows, selections
from alignsec.analysis import plan as planning
from alignsec.analysis.correlate import correlate
from alignsec.analysis.join import side_by_side
from alignsec.ground import tables
from alignsec.ground.errors import AlignsecError
from alignsec.study.plan import PlanFile
from alignsec.study.records import Plan, write_json
from tests.planted_study import leaderboard

TARGET, CLEAN = "pgd_top1@1/255[s]", "clean_top1[s]"
LEAVES = ["one", "two", "three"]
TREE = pd.DataFrame(
    {"benchmark": ["all", *LEAVES], "parent": [None, "all", "all", "all"], "category": "neural", "depth": 1,
     "is_leaf": [False, True, True, True], "n_scored": 60}
)  # fmt: skip


def study(seed: int = 0, trained: int = 9) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Total, targets and training of 60 models in 10 families."""
    rng = np.random.default_rng(seed)
    models = [f"m{i:02d}" for i in range(60)]
    total = pd.DataFrame({"model": models, "family": [f"f{i % 10}" for i in range(60)]})
    shared = rng.normal(size=60)
    for leaf in LEAVES:
        total[leaf] = shared + rng.normal(size=60)
        total.loc[rng.random(60) < 0.1, leaf] = None
    total["all"] = total[LEAVES].mean(axis=1)
    total[CLEAN] = 1 / (1 + np.exp(-shared - rng.normal(size=60)))
    at = np.arange(60) % 7 == 0
    at &= at.cumsum() <= trained
    total[TARGET] = 1 / (1 + np.exp(-0.5 * shared - 2 * at - rng.normal(size=60)))
    targets = total.melt("model", [CLEAN, TARGET], "target").assign(low=None, high=None, n=None)
    training = pd.DataFrame({"model": models, "training": np.where(at, "adversarial", "standard")})
    return total, tables.validate(targets, "robustness"), training


def chosen(
    total: pd.DataFrame, targets: pd.DataFrame, training: pd.DataFrame, given: PlanFile | None = None
) -> tuple[Plan, pd.DataFrame]:
    plan = planning.choose(targets, given)
    identity = pd.DataFrame({"model": total["model"], "source": "s", "identity": "same weights"})
    identity["network"] = [m if i % 10 else f"m{i + 1:02d}" for i, m in enumerate(total["model"])]
    identity.loc[identity.index % 20 == 3, "identity"] = "likely"
    mine = rows.of_study(total, LEAVES, targets, plan, covariates=training, identities=identity)
    return plan, mine


def found(given: PlanFile | None = None, trained: int = 9, **options: int) -> tuple[pd.DataFrame, ...]:
    total, targets, training = study(trained=trained)
    plan, mine = chosen(total, targets, training, given)
    table = selections.correlate(total, TREE, mine, plan, **options)
    return table, total, mine, training


def row_of(table: pd.DataFrame, benchmark: str, which: str, given: str | None = None) -> pd.Series:
    mine = table[(table["benchmark"] == benchmark) & (table["rows"] == which)]
    mine = mine[mine["given"].isna() if given is None else mine["given"] == given]
    assert len(mine) == 1
    return mine.iloc[0]


def test_each_selection_is_the_correlation_over_its_models() -> None:
    table, total, mine, _ = found()
    counts = set()
    for which in (rows.EVERY, rows.NETWORKS, rows.PRIMARY, rows.WITH, rows.ONLY):
        part = total[total["model"].isin(rows.selected(mine, which, "s"))]
        for benchmark in TREE["benchmark"]:
            row, both = row_of(table, benchmark, which), part[[benchmark, TARGET]].dropna()
            assert row["n"] == len(both)
            expected = both[benchmark].corr(both[TARGET], method="spearman")
            assert row["rho"] == pytest.approx(expected, abs=1e-12)
        counts.add(len(part))
    assert len(counts) == 5  # each of them is another selection here


def test_every_row_is_what_the_table_of_all_correlations_has() -> None:
    table, total, _, _ = found()
    every = correlate(total, TREE, [TARGET]).set_index("benchmark")
    for benchmark in TREE["benchmark"]:
        row, known = row_of(table, benchmark, rows.EVERY), every.loc[benchmark]
        for mine, theirs in (
            ("rho", "rho"),
            ("low", "rho_low"),
            ("high", "rho_high"),
            ("p", "p"),
            ("q", "q"),
        ):
            assert row[mine] == pytest.approx(known[theirs], abs=1e-12, nan_ok=True)
        row = row_of(table, benchmark, rows.EVERY, CLEAN)
        for name in ("rho", "low", "high", "p", "q"):
            assert row[name] == pytest.approx(known[f"partial_{name}"], abs=1e-12, nan_ok=True)


def test_adversarial_training_is_held_fixed_as_a_dummy_variable() -> None:
    """pingouin's partial Spearman correlation, as implemented there, knows neither families nor this code."""
    table, total, mine, training = found()
    part = total[total["model"].isin(rows.selected(mine, rows.NETWORKS, "s"))].merge(training)
    part["dummy"] = (part["training"] == "adversarial").astype(float)
    for benchmark in LEAVES:
        known = pingouin.partial_corr(part.dropna(subset=benchmark), benchmark, TARGET, "dummy",
                                      method="spearman")  # fmt: skip
        row = row_of(table, benchmark, selections.GIVEN, selections.TRAINING)
        assert row["rho"] == pytest.approx(known["r"].iloc[0], abs=1e-12) and row["n"] == known["n"].iloc[0]
        both = row_of(table, benchmark, selections.GIVEN, f"{CLEAN}, {selections.TRAINING}")
        assert both["n"] == row["n"] and both["rho"] != pytest.approx(row["rho"], abs=1e-3)


def test_where_nothing_is_adversarially_trained_there_is_nothing_to_hold_fixed_or_to_apart() -> None:
    table, *_ = found(trained=0)
    assert set(table["rows"]) == {rows.EVERY, rows.NETWORKS, rows.PRIMARY, rows.WITH}
    left, right = (table[table["rows"] == w].drop(columns="rows") for w in (rows.PRIMARY, rows.WITH))
    pd.testing.assert_frame_equal(left.reset_index(drop=True), right.reset_index(drop=True))


def test_q_is_over_the_leaves_of_one_target_selection_and_control() -> None:
    table, *_ = found()
    for _, block in table.groupby(["target", "rows", "given"], dropna=False):
        leaves = block["benchmark"].isin(LEAVES) & block["p"].notna()
        assert block.loc[~leaves, "q"].isna().all()
        if leaves.any():
            np.testing.assert_allclose(
                block.loc[leaves, "q"], false_discovery_control(block.loc[leaves, "p"])
            )


def test_above_a_declared_floor_are_the_networks_above_it() -> None:
    table, total, mine, _ = found(PlanFile(floors={"s": 0.2}))
    part = total[total["model"].isin(rows.selected(mine, rows.NETWORKS, "s")) & (total[TARGET] > 0.2)]
    row = row_of(table, "one", selections.ABOVE)
    assert row["n"] == part["one"].notna().sum() < row_of(table, "one", rows.NETWORKS)["n"]
    assert selections.ABOVE not in set(found()[0]["rows"])


def test_the_plans_control_replaces_clean_accuracy_and_must_be_there() -> None:
    table, *_ = found(PlanFile(control="three"))
    assert set(table["given"].dropna()) == {"three", selections.TRAINING, f"three, {selections.TRAINING}"}
    with pytest.raises(AlignsecError, match="control 'four' is neither a benchmark nor a target"):
        found(PlanFile(control="four"))


def test_targets_beside_the_primary_ones_have_rows_and_clean_accuracy_has_none() -> None:
    total, targets, training = study()
    other = targets[targets["target"] == TARGET].assign(target="pgd_top1@2/255[s]")
    total["pgd_top1@2/255[s]"] = total[TARGET]
    targets = pd.concat([targets, other], ignore_index=True)
    plan, mine = chosen(total, targets, training, PlanFile(sensitivity=("pgd_top1@2/255[s]",)))
    wide = planning.with_means(targets, plan).pivot(index="model", columns="target", values="value")
    total["pgd_top1@mean[s]"] = wide["pgd_top1@mean[s]"].reindex(total["model"]).to_numpy(float)
    table = selections.correlate(total, TREE, mine, plan)
    assert list(dict.fromkeys(table["target"])) == ["pgd_top1@mean[s]", "pgd_top1@2/255[s]"]


def test_few_models_keep_their_row_without_estimate() -> None:
    row = row_of(found(trained=2)[0], "one", rows.ONLY)
    assert row["n"] < 5 and np.isnan(row["rho"]) and row["note"] == "too few models"


def test_permuted_scores_change_correlations_and_no_byte_of_the_plan(tmp_path: Path) -> None:
    total, targets, training = study()
    plan, mine = chosen(total, targets, training)
    rng = np.random.default_rng(1)
    shuffled = total.assign(**{b: rng.permutation(total[b]) for b in TREE["benchmark"]})
    again, _ = chosen(shuffled[list(total.columns[::-1])], targets, training)
    for name, said in (("a", plan), ("b", again)):
        write_json(tmp_path / name, said)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    before, after = (selections.correlate(t, TREE, mine, plan) for t in (total, shuffled))
    assert not np.allclose(before["rho"].fillna(0), after["rho"].fillna(0), atol=0.01)
    assert json.loads((tmp_path / "a").read_text())["primary"]["adversarial Linf"] == TARGET


def test_on_published_attacks_the_largest_correlation_shrinks_with_each_honest_step(data_dir: Path) -> None:
    """The testbed's PGD against the leaderboard, by a name map; every estimate again from the raw files."""
    folder = data_dir / "published"
    if not folder.is_dir():
        pytest.skip(f"no published tables at {folder}")
    parsed, merged = leaderboard(data_dir)
    names = pd.read_csv(folder / "name_map.csv").query("source == 'testbed'")
    raw = pd.read_csv(folder / "testbed" / "robustness_top1s.csv")
    joined = names.merge(raw, left_on="source_model", right_on="model", suffixes=("_map", ""))
    target = "pgd_top1@0.5/255[testbed]"
    long = pd.concat(
        pd.DataFrame({"model": joined["leaderboard_model"], "target": name, "value": joined[column] / 100})
        for column, name in (("pgd.linf.eps0.5", target), ("val", "clean_top1[testbed]"))
    ).dropna()
    targets = tables.validate(long.assign(low=None, high=None, n=None), "robustness")
    total = side_by_side(merged, list(parsed.benchmarks["benchmark"]), targets, None)
    total = parents.complete(total, parsed.benchmarks)
    leaves = list(parsed.benchmarks.loc[parsed.benchmarks["is_leaf"], "benchmark"])
    # as the sources say: L2-trained, and trained on adversarial images with statistics of their own
    at = total["model"].str.contains("AdvProp|^AT_|robust|l2_3")
    training = pd.DataFrame({"model": total["model"], "training": np.where(at, "adversarial", "other")})
    identity = names.rename(columns={"leaderboard_model": "model"}).assign(network=names["source_model"])
    plan = planning.choose(targets)
    mine = rows.of_study(total, leaves, targets, plan, covariates=training, identities=identity)
    table = selections.correlate(total, parsed.benchmarks, mine, plan)

    leaf = "Hermann2020cueconflict-shape_match"
    have = total[total[target].notna() & total[leaf].notna()].merge(training)
    have = have.merge(identity[["model", "network"]])
    every = have[leaf].corr(have[target], method="spearman")
    assert row_of(table, leaf, rows.EVERY)["rho"] == pytest.approx(every, abs=1e-9)
    assert row_of(table, leaf, rows.EVERY)["n"] == len(have) > have["network"].nunique()
    each = row_of(table, leaf, rows.NETWORKS)
    assert each["n"] == have["network"].nunique()
    given = row_of(table, leaf, selections.GIVEN, selections.TRAINING)
    assert every > each["rho"] > given["rho"] > 0
    assert row_of(table, leaf, rows.EVERY)["low"] > 0 > given["low"]
    raw_ones = table[table["given"].isna() & table["rows"].isin([rows.EVERY, rows.NETWORKS, rows.PRIMARY])]
    assert raw_ones["q"].min() > 0.05
