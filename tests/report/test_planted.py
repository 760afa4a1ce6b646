"""The real leaderboard with a robustness table of known structure: what is planted is found, and nothing is
made of the rest. Also the findings, the tables and every figure of such a study."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from alignsec.analysis import duplicates
from alignsec.analysis.correlate import correlate, effective_tests
from alignsec.ground import tables
from alignsec.report import findings, latex, summary
from alignsec.report.figures import (
    curves,
    forest,
    heatmap,
    missingness,
    p_values,
    scatter,
    tsne,
    within_between,
)
from alignsec.robustness import summarise
from alignsec.study import catalogue, targets
from tests import planted_study as planted

MIDDLE = "robust_top1@0.5/255"


@pytest.fixture(scope="module")
def study(data_dir: Path) -> findings.Study:
    total, tree, measured, _ = planted.study(data_dir)
    table = correlate(total, tree, list(dict.fromkeys(measured["target"])))
    tables.validate(table, "correlations")
    nothing = pd.DataFrame(
        {"model": ["a", "b"], "step": "preflight", "reason": ["head of 365", "head of 365"]}
    )
    same = duplicates.compare(total, total, tree, [])
    doubts = pd.DataFrame(
        {"model": ["a"], "warning": "w", "value": 1.0, "meaning": "gradients may be masked"}
    )
    return findings.Study(total, tree, measured, table, nothing, same, doubts)


def at(study: findings.Study, benchmark: str) -> pd.Series:
    return study.correlations.set_index(["benchmark", "target"]).loc[(benchmark, MIDDLE)]


def test_planted_benchmarks_are_found(study: findings.Study) -> None:
    for name in planted.PLANTED:
        row = at(study, name)
        assert row["q"] < 0.05 and row["partial_q"] < 0.05, name
        assert row["rho_low"] > 0 and row["partial_low"] > 0


def test_a_confounded_benchmark_loses_its_significance(study: findings.Study) -> None:
    row = at(study, planted.CONFOUNDED)
    assert row["q"] < 0.05 and row["rho_low"] > 0
    assert row["partial_p"] > 0.1 and row["partial_low"] < 0 < row["partial_high"]


def test_a_family_artefact_shows(study: findings.Study) -> None:
    row = at(study, planted.ARTEFACT)
    assert row["rho_between"] > 0.6 and abs(row["rho_within"]) < 0.25
    mine = study.correlations[(study.correlations["target"] == MIDDLE) & study.correlations["is_leaf"]]
    gap = (mine["rho_between"] - mine["rho_within"]).to_numpy()
    assert mine["benchmark"].iloc[int(np.nanargmax(gap))] == planted.ARTEFACT


def test_rho_n_and_r2_are_those_of_pandas(study: findings.Study) -> None:
    for row in study.correlations[study.correlations["target"] == MIDDLE].itertuples():
        pairs = study.total[[row.benchmark, MIDDLE]].dropna()
        assert row.n == len(pairs)
        assert row.rho == pytest.approx(pairs.corr(method="spearman").iloc[0, 1])
        assert row.r2 == pytest.approx(pairs.corr().iloc[0, 1] ** 2)
    kar = at(study, "Kar2019-ost")
    assert kar["n"] == 12 and pd.isna(kar["p"]) and "3 families" in kar["note"]
    # 106 leaves, 24 parents, and the parents as exported
    assert len(study.correlations) == (106 + 24 + 24) * 7


def test_shuffled_robustness_finds_nothing(study: findings.Study) -> None:
    rng = np.random.default_rng(4)
    columns = study.targets
    order = rng.permutation(study.total["family"].unique())
    # whole families trade places, so that what is left is what families of this size make by chance
    place = study.total.assign(at=study.total["family"].map({f: i for i, f in enumerate(order)}))
    mixed = study.total.copy()
    mixed[columns] = study.total.loc[place.sort_values("at", kind="stable").index, columns].to_numpy()
    table = correlate(mixed, study.benchmarks, columns, flips=2000)
    leaves = table[table["is_leaf"]]
    assert (leaves["q"] < 0.05).mean() < 0.02
    assert leaves["partial_q"].min() > 0.01


def test_the_tables(study: findings.Study) -> None:
    made = findings.all_tables(study)
    assert tuple(made) == catalogue.TABLES
    for name, (frame, caption) in made.items():
        text = latex.table(frame, caption, f"tab:{name}")
        assert "\\toprule" in text and "nan" not in text.lower().replace("nanoseconds", "")
    aggregates = made["aggregates"][0].set_index(["parent", "target"]).loc[("average_vision", MIDDLE)]
    assert aggregates["rho"] == at(study, "average_vision")["rho"]
    assert aggregates["rho_exported"] == at(study, "exported_average_vision")["rho"]
    assert aggregates["missing_exported"] == pytest.approx(-0.66, abs=0.01)
    assert abs(aggregates["missing"]) < 0.2
    blunt = made["targets"][0].set_index("target")
    values = study.robustness[study.robustness["target"] == MIDDLE]["value"]
    wanted = (values * (1 - values) / (planted.IMAGES - 1)).mean() / values.var()
    assert blunt.loc[MIDDLE, "sampling"] == pytest.approx(wanted)


def test_the_summary_says_the_tables_numbers(study: findings.Study) -> None:
    text = summary.markdown(study, "planted")
    leaves = study.correlations[
        study.correlations["is_leaf"]
        & study.correlations["target"].str.startswith("robust_top1@")
        & (study.correlations["category"] != "engineering")
    ]
    kept = leaves.loc[leaves["partial_q"] < 0.05, "benchmark"].nunique()
    assert (
        f"Adversarial Linf: of 81 leaf benchmarks of human-likeness, {kept} remain at q < .05 after "
        "controlling clean accuracy for at least one of 3 targets"
    ) in text
    best = leaves.loc[leaves["partial_rho"].where(leaves["partial_q"] < 0.05).abs().idxmax()]
    assert f"the strongest are {best['benchmark']} (ρ = {best['rho']:.2f} [" in text
    assert (
        "81 leaf benchmarks of human-likeness (and 25 engineering benchmarks, which are accuracies)" in text
    )
    assert "Engineering benchmarks (accuracies) and AutoAttack top-1" in text
    assert "2 models: head of 365" in text
    assert "Doubts about 1 model: gradients may be masked." in text
    row = at(study, "average_vision")
    assert f"ρ = {row['rho']:.2f} [{row['rho_low']:.2f}, {row['rho_high']:.2f}]".replace("-", "−") in text
    assert "nan" not in text


def test_no_engineering_accuracy_is_counted_as_human_likeness(study: findings.Study) -> None:
    """Accuracies that follow robustness exactly change nothing but the sentences about accuracies."""
    table = study.correlations.copy()
    mine = table["is_leaf"] & (table["category"] == "engineering")
    table.loc[mine, ["rho", "partial_rho"]] = 0.99
    table.loc[mine, ["p", "q", "partial_p", "partial_q"]] = 1e-6
    louder = replace(study, correlations=table)
    pd.testing.assert_frame_equal(findings.predictors(louder), findings.predictors(study))
    assert not findings.predictors(study)["category"].eq("engineering").any()

    def of_people(text: str) -> list[str]:
        return [line for line in text.splitlines() if not line.startswith(("- Engineering", "- Counting"))]

    said = summary.markdown(louder, "planted")
    assert of_people(said) == of_people(summary.markdown(study, "planted"))
    assert "Engineering, adversarial Linf: 25 of 25 accuracies" in said


def test_what_attacked_and_what_its_source_warns_of_is_said(study: findings.Study) -> None:
    made = {
        "bed": {
            "title": "A bed", "citation": "Somebody (2020)", "licence": "MIT",
            "cautions": ["Half is missing"],
            "targets": {"pgd_top1@1/255[bed]": {
                "attack": "PGD", "steps": 100, "what": "one start", "images": "5,000",
                "cautions": ["It attacks the prediction"]}},
        }
    }  # fmt: skip
    named = {t: t.replace("robust_top1", "pgd_top1") + "[bed]" for t in study.targets if "robust_top1" in t}
    theirs = replace(
        study,
        total=study.total.rename(columns=named),
        robustness=study.robustness.replace({"target": named}),
        correlations=study.correlations.replace({"target": named}),
        sources=made,
    )
    text = summary.markdown(theirs, "planted")
    line = next(line for line in text.splitlines() if line.startswith("- PGD top-1, ε = 0.001 (bed); "))
    assert line.endswith("PGD of 100 steps: one start; images: 5,000; A bed. It attacks the prediction.")
    assert "- bed: A bed; Somebody (2020). Licence: MIT. Half is missing." in text
    assert "AutoAttack, of correct, ε = 0.001" in text
    assert f"AutoAttack; images: {planted.IMAGES}; this study's own." in summary.markdown(study, "planted")


def test_the_estimate_above_the_floor_of_an_attack_stands_beside_the_one_of_all_models(
    study: findings.Study,
) -> None:
    rows = pd.DataFrame(
        {"benchmark": "average_vision", "target": MIDDLE, "rows": ["above the floor"] * 2 + ["primary"],
         "given": [None, "clean_top1", None], "n": [31, 30, 99], "rho": [0.123, -0.456, 0.9]}
    )  # fmt: skip
    text = summary.markdown(replace(study, selections=rows), "planted")
    line = next(line for line in text.splitlines() if line.startswith("- Average alignment"))
    assert "above the floor of the attack: raw 0.12 (n = 31), given clean −0.46 (n = 30)" in line
    assert "above the floor" not in summary.markdown(study, "planted")


def drawn_text(figure: Figure) -> str:
    return " ".join(t.get_text() for t in figure.findobj(lambda a: hasattr(a, "get_text")))


def test_the_forest_is_the_table(study: findings.Study) -> None:
    figure = forest.draw(study.correlations, MIDDLE, rows=20)
    mine = study.correlations[study.correlations["is_leaf"] & (study.correlations["target"] == MIDDLE)]
    best = forest.chosen(mine, "partial_rho", 20)
    assert set(mine.loc[(mine["q"] < 0.05) | (mine["partial_q"] < 0.05), "benchmark"]) <= set(
        best["benchmark"]
    )
    labels = [t.get_text() for t in figure.axes[0].get_yticklabels()]
    assert [int(re.search(r"\((\d+)\)$", t)[1]) for t in labels] == best["n"].tolist()  # type: ignore[index]
    for axes, column in zip(figure.axes, ("partial", "rho"), strict=True):
        (lines,) = (c for c in axes.collections if c.get_gid() == "interval")
        ends = np.array([s[:, 0] for s in lines.get_segments()])
        np.testing.assert_allclose(ends, best[[f"{column}_low", f"{column}_high"]].astype(float))
        sure, unsure = (next(c for c in axes.collections if c.get_gid() == g) for g in ("sure", "unsure"))
        q = best["q" if column == "rho" else "partial_q"]
        assert (len(sure.get_offsets()), len(unsure.get_offsets())) == ((q < 0.05).sum(), (~(q < 0.05)).sum())


def test_within_between_p_values_and_curves_are_the_tables(study: findings.Study) -> None:
    mine = study.correlations[study.correlations["is_leaf"] & (study.correlations["target"] == MIDDLE)]
    axes = within_between.draw(study.correlations, MIDDLE).axes[0]
    bars = [c for c in axes.collections if c.get_gid() == "interval"]
    points = np.concatenate([c.get_offsets() for c in axes.collections if c.get_gid() != "interval"])
    wanted = mine[["rho_between", "rho_within"]].dropna().to_numpy()
    np.testing.assert_allclose(points[np.lexsort(points.T)], wanted[np.lexsort(wanted.T)])
    ends = {(round(y0, 9), round(y1, 9)) for bar in bars for (_, y0), (_, y1) in bar.get_segments()}
    known = mine[["rho_within_low", "rho_within_high"]].dropna().round(9)
    assert len(ends) == within_between.NAMED
    assert ends <= set(known.itertuples(index=False, name=None))

    figure = p_values.draw(study.correlations)
    leaves = study.correlations[study.correlations["is_leaf"]]
    for axes, column in zip(figure.axes, ("p", "partial_p"), strict=True):
        heights = [p.get_height() for p in axes.patches]
        np.testing.assert_array_equal(heights, np.histogram(leaves[column].dropna(), 20, (0, 1))[0])

    family = dict(zip(study.total["model"], study.total["family"], strict=True))
    axes = curves.draw(study.robustness, family).axes[0]
    (line,) = (a for a in axes.lines if a.get_gid() == "resnet")
    np.testing.assert_allclose(line.get_xdata(), [0, 0.001, 0.5 / 255, 1 / 255])
    mean = study.total[study.total["family"] == "resnet"][["clean_top1", *study.attacked]].mean()
    np.testing.assert_allclose(line.get_ydata(), mean)
    assert sum(a.get_gid() == "model" for a in axes.lines) == 233


def test_the_missingness_map_is_the_leaderboard(data_dir: Path, study: findings.Study) -> None:
    _, tree, _, scores = planted.study(data_dir)
    models = study.total[["model", "family"]]
    grid = missingness.grid(scores, tree, models)
    assert grid.shape == (233, 106)
    leaves = list(tree.loc[tree["is_leaf"], "benchmark"])
    wanted = study.total.set_index("model").loc[grid.index, leaves].notna()
    np.testing.assert_array_equal((grid == "scored").to_numpy(), wanted.to_numpy())
    figure = missingness.draw(scores, tree, models)
    np.testing.assert_allclose([b.get_height() for b in figure.axes[0].patches], wanted.mean())


def test_components_of_completed_scores_do_not_show_missingness(study: findings.Study) -> None:
    place, shares, _ = tsne.components(study.total, study.benchmarks)
    assert len(place) > 150 and 0.3 < shares[0] < 0.9 and shares[1] < shares[0]
    assert tsne.components(study.total.head(3), study.benchmarks)[0].empty
    complete = study.total.assign(**{b: study.total[b].rank() for b in study.benchmarks["benchmark"]}).fillna(
        1.0
    )
    from sklearn.decomposition import PCA

    leaves = complete[list(study.benchmarks.loc[study.benchmarks["is_leaf"], "benchmark"])]
    wanted = PCA(2).fit((leaves - leaves.mean()) / leaves.std(ddof=0)).explained_variance_ratio_
    np.testing.assert_allclose(tsne.components(complete, study.benchmarks)[1], wanted, rtol=1e-6)


def test_every_figure_fits_a_page(data_dir: Path, study: findings.Study) -> None:
    _, tree, _, scores = planted.study(data_dir)
    figures = {
        "heatmap": heatmap.draw(study.correlations, tree),
        "forest": forest.draw(study.correlations, MIDDLE),
        "scatter": scatter.draw(study.total, study.correlations, "average_vision", study.attacked),
        "missingness": missingness.draw(scores, tree, study.total[["model", "family"]]),
    }
    for name, figure in figures.items():
        width, height = figure.get_size_inches()
        assert width <= 7.2 and height <= 10.5, name
    panels = [a for a in figures["heatmap"].axes if a.images and a.get_gid() is None][:2]
    rows = sum(len(a.images[0].get_array()) for a in panels)
    assert rows == len(tree)


def test_same_weights_are_counted_once() -> None:
    total = pd.DataFrame(
        {
            "model": ["a", "b", "c", "d"],
            "family": ["f", "g", "h", "h"],
            "x": [0.2, 0.4, np.nan, 1.0],
            "robust": [0.1, 0.3, 0.5, 0.7],
        }
    )
    one = duplicates.collapse(total, {"a": "w", "b": "w", "c": "v"})
    assert one["model"].tolist() == ["a", "c", "d"] and one["family"].tolist() == ["f", "h", "h"]
    np.testing.assert_allclose(one["x"], [0.3, np.nan, 1.0])
    np.testing.assert_allclose(one["robust"], [0.2, 0.5, 0.7])
    assert duplicates.collapse(total, {}) is total
    tree = pd.DataFrame({"benchmark": ["x"]})
    assert duplicates.compare(total, total, tree, ["robust"]).empty
    big = pd.concat([total.assign(model=total["model"] + str(i), x=total["x"] + i) for i in range(4)])
    small = duplicates.collapse(big, {"a0": "w", "b0": "w"})
    row = duplicates.compare(big, small, tree, ["robust"]).iloc[0]
    assert (row["n"], row["n_collapsed"]) == (12, 11)
    assert row["rho"] == pytest.approx(big[["x", "robust"]].corr(method="spearman").iloc[0, 1])


def test_effective_tests_of_independent_and_of_equal_benchmarks() -> None:
    rng = np.random.default_rng(0)
    base = pd.DataFrame(rng.normal(size=(4000, 6)), columns=list("abcdef"))
    assert effective_tests(base, list("abcdef")) == pytest.approx(6, abs=0.6)
    equal = pd.DataFrame(dict.fromkeys("abcdef", base["a"]))
    assert effective_tests(equal, list("abcdef")) == pytest.approx(1, abs=1e-6)
    assert effective_tests(base.assign(a=1.0), ["a"]) == 0


def test_robust_among_correct() -> None:
    table = pd.DataFrame(
        [
            ["m", "clean_top1", 0.8, None, None, 50],
            ["m", "robust_top1@1/255", 0.4, None, None, 50],
            ["m", "robust_top1@L2:0.5", 0.0, None, None, 50],
            ["none right", "clean_top1", 0.0, None, None, 50],
            ["none right", "robust_top1@1/255", 0.0, None, None, 50],
            ["other images", "clean_top1", 0.5, None, None, 50],
            ["other images", "robust_top1@1/255", 0.2, None, None, 20],
            ["no n", "clean_top1", 0.5, None, None, None],
            ["no n", "robust_top1@1/255", 0.2, None, None, None],
        ],
        columns=summarise.COLUMNS,
    )
    found = summarise.with_conditional(table)
    added = found.iloc[len(table) :].set_index(["model", "target"])
    assert sorted(added.index) == [
        ("m", "robust_given_correct@1/255"),
        ("m", "robust_given_correct@L2:0.5"),
        ("no n", "robust_given_correct@1/255"),
    ]
    row = added.loc[("m", "robust_given_correct@1/255")]
    share = summarise.share_row("", "", 20, 40)
    assert (row["value"], row["n"], row["low"], row["high"]) == (0.5, 40, share["low"], share["high"])
    assert added.loc[("no n", "robust_given_correct@1/255"), "value"] == 0.4
    tables.validate(found, "robustness")
    assert targets.label("robust_given_correct@1/255") == "AutoAttack, of correct, ε = 1/255"
    assert targets.label("median_distance@L2") == "median distance, L2"
    assert not targets.is_share("median_distance@L2") and targets.is_share("clean_top5")
