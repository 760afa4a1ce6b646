"""Correlations against other libraries, figures against their tables."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import linregress
from statsmodels.stats.multitest import multipletests

from alignsec.analysis import correlate as statistics
from alignsec.ground import tables
from alignsec.ground.errors import AlignsecError
from alignsec.report import latex
from alignsec.report.figures import heatmap, save, scatter, tsne

TARGETS = ["robust_top1@1/255", "robust_top1@4/255"]


@pytest.fixture(scope="module")
def study() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(1)
    n = 40
    total = pd.DataFrame({"model": [f"m{i}" for i in range(n)], "family": [f"f{i % 7}" for i in range(n)]})
    names = ["average_vision", "neural_vision", "A", "B", "behavior_vision", "C", "few", "flat"]
    for name in names:
        total[name] = rng.normal(size=n)
    for i, target in enumerate(TARGETS):
        total[target] = np.clip(0.5 + 0.1 * (i + 1) * total["A"] + 0.1 * rng.normal(size=n), 0, 1)
    total.loc[:9, "B"] = np.nan
    total.loc[35:, TARGETS[1]] = np.nan
    total.loc[3:, "few"] = np.nan
    total["flat"] = 1.0
    parents = [
        None,
        "average_vision",
        "neural_vision",
        "neural_vision",
        "average_vision",
        *["behavior_vision"] * 3,
    ]
    tree = pd.DataFrame(
        {
            "benchmark": names,
            "parent": parents,
            "category": [None, *["neural"] * 3, *["behavior"] * 4],
            "depth": [0, 1, 2, 2, 1, 2, 2, 2],
            "is_leaf": [False, False, True, True, False, True, True, True],
            "n_scored": 1,
        }
    )
    return total, tree, statistics.correlate(total, tree, TARGETS)


def test_estimates_agree_with_pandas_and_scipy(study: tuple[pd.DataFrame, ...]) -> None:
    total, tree, table = study
    rho = total[[*tree["benchmark"], *TARGETS]].corr(method="spearman")
    checked = 0
    for row in table[table["note"] == ""].itertuples():
        pairs = total[[row.benchmark, row.target]].dropna()
        line = linregress(pairs[row.benchmark], pairs[row.target])
        assert row.rho == pytest.approx(rho.loc[row.benchmark, row.target])
        assert row.r2 == pytest.approx(line.rvalue**2)
        assert (row.slope, row.intercept, row.p_ols) == pytest.approx(
            (line.slope, line.intercept, line.pvalue)
        )
        assert row.n == len(pairs)
        assert row.n_families == total.loc[pairs.index, "family"].nunique()
        assert row.loss_of_n == total[row.target].notna().sum() - len(pairs)
        checked += 1
    assert checked == 12
    tested = table[table["is_leaf"] & table["p"].notna()]
    np.testing.assert_allclose(tested["q"], multipletests(tested["p"], method="fdr_bh")[1])
    assert table.loc[~table["is_leaf"], "q"].isna().all()
    tables.validate(table, "correlations")


def test_degenerate_rows_stay_with_a_note(study: tuple[pd.DataFrame, ...]) -> None:
    total, tree, table = study
    notes = table.set_index(["benchmark", "target"])["note"]
    assert notes["few", TARGETS[0]] == "only 3 models have both"
    assert notes["flat", TARGETS[0]] == "the benchmark is constant"
    assert table.set_index(["benchmark", "target"]).loc[("flat", TARGETS[0]), "n"] == len(total)
    with pytest.raises(AlignsecError, match="'nowhere'"):
        statistics.correlate(total, tree, ["nowhere"])


def test_heatmap_draws_the_table(study: tuple[pd.DataFrame, ...]) -> None:
    _, tree, table = study
    axes = heatmap.draw(table, tree).axes[0]
    drawn = axes.images[0].get_array().filled(np.nan)
    expected = table.pivot(index="benchmark", columns="target", values="rho").loc[tree["benchmark"], TARGETS]
    np.testing.assert_allclose(drawn, expected)
    (dots,) = (line for line in axes.lines if line.get_gid() == "weak")
    level = table["q"].where(table["is_leaf"], table["p"])
    assert len(dots.get_xdata()) == int((level >= 0.05).sum()) > 0


def test_scatter_draws_the_table(study: tuple[pd.DataFrame, ...]) -> None:
    total, _, table = study
    figure = scatter.draw(total, table, "A", TARGETS)
    rows = table[table["benchmark"] == "A"].set_index("target")
    for axes, target in zip(figure.axes, TARGETS, strict=True):
        points = [c for c in axes.collections if c.get_gid().startswith(f"{target} ")]
        drawn = np.concatenate([p.get_offsets() for p in points])
        wanted = total[["A", target]].dropna().to_numpy()
        np.testing.assert_allclose(drawn[np.lexsort(drawn.T)], wanted[np.lexsort(wanted.T)])
        # a marker for each of the largest families, with its models
        assert [p.get_gid() for p in points] == [f"{target} f{i}" for i in range(len(points))]
        of_f3 = total.loc[total["family"] == "f3", ["A", target]].dropna()
        np.testing.assert_allclose(points[3].get_offsets(), of_f3)
        (line,) = (a for a in axes.lines if a.get_gid() == target)
        np.testing.assert_allclose(
            line.get_ydata(), rows.loc[target, "intercept"] + rows.loc[target, "slope"] * line.get_xdata()
        )
        said = axes.get_title(loc="left")
        assert f"R² = {rows.loc[target, 'r2']:.2f}" in said
        assert f"n = {rows.loc[target, 'n']}" in said
        low, high = rows.loc[target, "rho_low"], rows.loc[target, "rho_high"]
        assert f"ρ = {rows.loc[target, 'rho']:.2f} [{low:.2f}, {high:.2f}]".replace("-", "−") in said
    assert scatter.draw(total, table, "engineering_vision", TARGETS).axes == []


def test_tsne_colours_models_by_robustness(study: tuple[pd.DataFrame, ...]) -> None:
    total, tree, _ = study
    axes = tsne.draw(total, tree, TARGETS[1]).axes[0]
    known, unknown = (next(c for c in axes.collections if c.get_gid() == g) for g in ("known", "unknown"))
    np.testing.assert_allclose(known.get_array(), total[TARGETS[1]].dropna())
    assert len(unknown.get_offsets()) == 5
    assert tsne.embed(total.head(3), tree).empty


def test_saved_figures_are_the_same_bytes_with_embedded_fonts(
    study: tuple[pd.DataFrame, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    total, _, table = study
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    for name in ("one", "two"):
        save(scatter.draw(total, table, "A", TARGETS), tmp_path / name)
    for suffix in (".pdf", ".png"):
        assert (tmp_path / f"one{suffix}").read_bytes() == (tmp_path / f"two{suffix}").read_bytes()
    assert b"/FontFile2" in (tmp_path / "one.pdf").read_bytes()
    assert b"D:20231114" in (tmp_path / "one.pdf").read_bytes()


def test_latex_escapes_and_formats() -> None:
    frame = pd.DataFrame({"model": ["a_b & 50%"], "p": [1e-5], "rho": [-0.123456], "n": [12], "q": [np.nan]})
    text = latex.table(frame, "A_caption", "tab:x")
    assert r"a\_b \& 50\% & $<$.001 & $-$0.123 & 12 & -- \\" in text


def test_heatmap_texts_do_not_overlap_each_other_or_the_cells(
    study: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame],
) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    total, tree, _ = study
    long = "Marques2020_FreemanZiemba2013-abs_texture_modulation_index"
    total, tree = total.rename(columns={"A": long}), tree.replace("A", long)
    # three neighbouring categories of few rows each
    tree.loc[tree["benchmark"].isin(["few", "flat"]), "category"] = "engineering"
    figure = heatmap.draw(statistics.correlate(total, tree, TARGETS), tree)
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()
    axes = figure.axes[0]
    texts = [*axes.texts, *axes.get_yticklabels()]
    boxes = [t.get_window_extent(renderer) for t in texts if t.get_text()]
    cells = axes.get_window_extent(renderer)
    assert len(boxes) == len(tree) + 3
    for i, box in enumerate(boxes):
        assert box.x1 < cells.x0 or box.x0 > cells.x1
        assert not any(box.overlaps(other) for other in boxes[i + 1 :])
