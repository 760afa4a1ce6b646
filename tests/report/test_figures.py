"""What the figures share, files that are the same in every process, and tables with little in them."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from alignsec.analysis import correlate as statistics
from alignsec.analysis import plan as plans
from alignsec.leaderboard import export
from alignsec.report import figures
from alignsec.report.figures import curves, forest, heatmap, save, scatter, tsne

TARGETS = ["robust_top1@8/255", "robust_top1@0.001", "robust_top1@1/255"]
BENCHMARKS = pd.DataFrame(
    {
        "benchmark": ["average_vision", "A", "B", "C"],
        "parent": [None, *["average_vision"] * 3],
        "category": [None, "neural", "behavior", "behavior"],
        "depth": [0, 1, 1, 1],
        "is_leaf": [False, True, True, True],
        "n_scored": 1,
    }
)


@pytest.fixture
def total() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"model": [f"m{i}" for i in range(30)], "family": [f"f{i % 8}" for i in range(30)]})
    for name in BENCHMARKS["benchmark"]:
        frame[name] = rng.random(30)
    for target in TARGETS:
        frame[target] = rng.random(30)
    return frame


def words(figure: Figure) -> str:
    return " ".join(t.get_text() for t in figure.findobj(lambda a: hasattr(a, "get_text")))


@pytest.mark.parametrize(
    ("target", "label"),
    [
        ("robust_top1@4/255", "AutoAttack top-1, ε = 4/255"),
        ("robust_top5@1/255", "AutoAttack top-5, ε = 1/255"),
        ("robust_top1@L2:0.5", "AutoAttack top-1, L2 ε = 0.5"),
        ("clean_top1", "clean top-1"),
        ("corruption_top1@gaussian_noise-3", "gaussian noise, severity 3"),
        ("something_else", "something_else"),
    ],
)
def test_target_labels(target: str, label: str) -> None:
    assert figures.target_label(target) == label


def test_style_does_not_leak_and_ignores_the_users_own() -> None:
    import matplotlib as mpl

    with mpl.rc_context({"font.size": 31, "pdf.fonttype": 3}):
        with figures.style():
            assert (mpl.rcParams["font.size"], mpl.rcParams["pdf.fonttype"]) == (8, 42)
        assert mpl.rcParams["font.size"] == 31


_DRAW = """
import sys, pandas as pd
from alignsec.report.figures import heatmap, save, scatter
from tests.report.test_figures import BENCHMARKS, TARGETS
total, table = pd.read_pickle(sys.argv[1]), pd.read_pickle(sys.argv[2])
save(heatmap.draw(table, BENCHMARKS), sys.argv[3] + "/heatmap")
save(scatter.draw(total, table, "A", TARGETS), sys.argv[3] + "/scatter")
"""


def test_files_are_the_same_in_another_process(total: pd.DataFrame, tmp_path: Path) -> None:
    total.to_pickle(tmp_path / "total")
    statistics.correlate(total, BENCHMARKS, TARGETS).to_pickle(tmp_path / "table")
    digests = []
    for seed in ("1", "2"):
        out = tmp_path / seed
        out.mkdir()
        environment = {k: v for k, v in os.environ.items() if k != "SOURCE_DATE_EPOCH"}
        subprocess.run(
            [sys.executable, "-c", _DRAW, str(tmp_path / "total"), str(tmp_path / "table"), str(out)],
            env=environment | {"PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[2],
            check=True,
        )
        digests.append({p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(out.iterdir())})
        assert b"D:19700101" in (out / "heatmap.pdf").read_bytes()
        assert b"Software" not in (out / "heatmap.png").read_bytes()
    assert digests[0] == digests[1]
    assert sorted(digests[0]) == ["heatmap.pdf", "heatmap.png", "scatter.pdf", "scatter.png"]


def test_a_stem_keeps_its_dots(tmp_path: Path) -> None:
    save(figures.message("nothing"), tmp_path / "v1.2")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["v1.2.pdf", "v1.2.png"]


def test_heatmap_writes_the_numbers_of_the_table(total: pd.DataFrame) -> None:
    total["A"] = total[TARGETS[0]]
    total["C"] = np.nan
    table = statistics.correlate(total, BENCHMARKS, TARGETS)
    drawn = words(heatmap.draw(table, BENCHMARKS, annotate=True))
    for row in table.itertuples():
        if row.note == "":
            p = row.q if row.is_leaf else row.p
            assert f"{row.rho:.2f}{'*' if p < 0.05 else ''}" in drawn
    assert "1.00*" in drawn
    assert "nan" not in drawn


def test_scatter_without_a_line_has_points_and_without_points_says_so(total: pd.DataFrame) -> None:
    total.loc[3:, "A"] = np.nan
    total["B"] = np.nan
    table = statistics.correlate(total, BENCHMARKS, TARGETS)
    figure = scatter.draw(total, table, "A", TARGETS)
    assert len(figure.axes) == len(TARGETS)
    assert [axes.lines[:] for axes in figure.axes] == [[]] * 3
    assert [sum(len(c.get_offsets()) for c in axes.collections) for axes in figure.axes] == [3] * 3
    assert "No model has both B" in words(scatter.draw(total, table, "B", TARGETS))
    assert "no engineering_vision" in words(scatter.draw(total, table, "engineering_vision", TARGETS))


def legend(figure: Figure) -> dict[str, tuple[str, str]]:
    """Colour and marker by family, the counts left out."""
    (box,) = figure.legends
    return {
        text.get_text().rpartition(" (")[0]: (handle.get_color(), handle.get_marker())
        for text, handle in zip(box.get_texts(), box.legend_handles, strict=True)
    }


def test_a_family_looks_alike_in_sibling_drawings_and_is_named_where_it_has_a_point(
    total: pd.DataFrame,
) -> None:
    total.loc[total["family"].isin(["f0", "f1"]), "B"] = np.nan  # the largest families have no point on B
    table = statistics.correlate(total, BENCHMARKS, TARGETS)
    one, other = (legend(scatter.draw(total, table, b, TARGETS)) for b in ("A", "B"))
    assert set(one) == {f"f{i}" for i in range(8)}
    assert set(other) == set(one) - {"f0", "f1"}
    assert {f: one[f] for f in other} == other
    assert len(set(one.values())) == len(one)
    assert len({marker for _, marker in one.values()}) == len(one)


def test_no_line_or_band_of_a_scatter_leaves_what_an_accuracy_can_be(total: pd.DataFrame) -> None:
    total[TARGETS[0]] = np.clip(0.5 + 2 * (total["A"] - total["A"].mean()), 0, 1)
    table = statistics.correlate(total, BENCHMARKS, TARGETS)
    axes = scatter.draw(total, table, "A", TARGETS[:1]).axes[0]
    row = table.set_index(["benchmark", "target"]).loc[("A", TARGETS[0])]
    assert row["intercept"] + row["slope"] * total["A"].min() < 0, "the line itself would go below 0"
    (line,) = axes.lines
    (band,) = (c for c in axes.collections if c.get_gid() == "band")
    for y in (line.get_ydata(), band.get_paths()[0].vertices[:, 1]):
        assert min(y) >= 0 and max(y) <= 1


def test_the_band_is_the_jackknife_of_the_line_written_out() -> None:
    from scipy.stats import t as student

    rng = np.random.default_rng(5)
    family = np.array([f"f{i % 8}" for i in range(40)])
    x = rng.normal(size=40)
    y = 0.5 * x + rng.normal(size=8)[np.arange(40) % 8]
    along = np.array([-1.0, 0.0, 2.0])
    found = scatter.band(x, y, family, along)
    assert found is not None
    whole = np.polyval(np.polyfit(x, y, 1), along)
    left = np.array(
        [np.polyval(np.polyfit(x[family != f], y[family != f], 1), along) for f in np.unique(family)]
    )
    half = student.ppf(0.975, 8 - 1) * np.sqrt(7 / 8 * ((left - left.mean(0)) ** 2).sum(0))
    np.testing.assert_allclose(found, [whole - half, whole + half], rtol=1e-10)
    assert scatter.band(x[:20], y[:20], family[:20], along) is None, "20 models have no interval anywhere"


def test_no_axis_of_the_curves_holds_two_norms_attacks_or_sources() -> None:
    rng = np.random.default_rng(1)
    columns = ["clean_top1", "robust_top1@1/255", "robust_top1@2/255", "robust_top1@L2:0.5",
               "robust_top1@mean", "pgd_top1@1/255[a]", "pgd_top1@2/255[a]", "clean_top1[a]"]  # fmt: skip
    table = pd.DataFrame(
        [{"model": f"m{i}", "target": c, "value": rng.random()} for i in range(12) for c in columns
         if not (c.endswith("[a]") and i < 4)]
    ).assign(low=np.nan, high=np.nan)  # fmt: skip
    figure = curves.draw(table, {f"m{i}": f"f{i // 4}" for i in range(12)})
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["AutoAttack, Linf: 12 models", "AutoAttack, L2: 12 models", "PGD, Linf (a): 8 models"]
    ticks = [[t.get_text() for t in axes.get_xticklabels()] for axes in figure.axes]
    assert ticks == [["0", "1/255", "2/255"], ["0", "0.5"], ["0", "1/255", "2/255"]]
    value = table.pivot(index="model", columns="target", values="value")
    (line,) = (a for a in figure.axes[2].lines if a.get_gid() == "f1")
    wanted = value.loc[[f"m{i}" for i in range(4, 8)], ["clean_top1[a]", *columns[5:7]]].mean()
    np.testing.assert_allclose(line.get_ydata(), wanted)
    assert not any(a.get_gid() == "f0" for a in figure.axes[2].lines), "no model of f0 has that attack"


def test_the_forest_leaves_out_no_leaf_with_a_small_q_and_keeps_accuracies_apart() -> None:
    count = 30
    table = pd.DataFrame(
        {"benchmark": [f"b{i}" for i in range(count)], "target": "robust_top1@1/255", "is_leaf": True,
         "category": ["neural"] * 20 + ["engineering"] * 10, "n": 50, "control": "clean_top1",
         "rho": np.linspace(0.9, -0.5, count), "q": 0.5, "partial_rho": np.linspace(-0.6, 0.6, count),
         "partial_q": 0.5}
    )  # fmt: skip
    for column in ("rho_low", "rho_high", "partial_low", "partial_high", "lofo_low", "lofo_high"):
        table[column] = np.nan
    table.loc[14, "q"] = table.loc[24, "partial_q"] = 0.01
    kept = forest.chosen(table, "partial_rho", 6)
    assert {"b14", "b24"} <= set(kept["benchmark"])
    human = kept[kept["category"] != "engineering"]
    assert len(human) == 7 and len(kept) - len(human) == 3
    for block in (human, kept[len(human) :]):
        assert block["partial_rho"].is_monotonic_decreasing
    figure = forest.draw(table, "robust_top1@1/255", rows=6)
    left = figure.axes[0]
    points = np.concatenate([c.get_offsets() for c in left.collections if c.get_gid() in ("sure", "unsure")])
    np.testing.assert_allclose(points[np.argsort(points[:, 1])][:, 0], kept["partial_rho"])
    words_of_legend = [t.get_text() for t in figure.legends[0].get_texts()]
    assert "q < .05" in words_of_legend and "range without any one family" in words_of_legend
    uncontrolled = table.assign(partial_rho=np.nan, partial_q=np.nan, control=None)
    assert len(forest.draw(uncontrolled, "robust_top1@1/255").axes) == 1


def test_the_figure_of_one_target_passes_over_an_epsilon_that_leaves_most_models_at_the_floor(
    total: pd.DataFrame,
) -> None:
    total[TARGETS[2]] = 0.0
    table = statistics.correlate(total, BENCHMARKS, TARGETS)
    figure = forest.of_study({"correlations": table, "total": total}, {})["forest"]
    assert "ε = 8/255" in words(figure)
    plan = plans.choose(total.melt("model", TARGETS, "target", "value").assign(n=100))
    plan["primary"]["adversarial Linf"] = TARGETS[1]
    figure = forest.of_study({"correlations": table, "total": total, "plan": plan}, {})["forest"]
    assert "ε = 0.001" in words(figure), "what a plan says comes before"


def test_columns_of_the_heatmap_are_parted_by_kind_and_a_shared_source_is_said_once() -> None:
    targets = ["clean_top1[a]", "pgd_top1@L2:0.5[a]", "pgd_top1@1/255[a]"]
    table = pd.DataFrame(
        {"benchmark": ["A", "B", "C"] * 3, "target": np.repeat(targets, 3), "rho": 0.1, "p": 0.5, "q": 0.5,
         "n": 9}
    )  # fmt: skip
    figure = heatmap.draw(table, BENCHMARKS[1:])
    axes = figure.axes[0]
    assert [t.get_text() for t in axes.get_xticklabels()] == [
        "PGD top-1, ε = 1/255", "PGD top-1, L2 ε = 0.5", "clean top-1",
    ]  # fmt: skip
    assert [a.get_xdata()[0] for a in axes.lines if a.get_gid() == "kind"] == [0.5, 1.5]
    assert words(figure).count("(a)") == 1


def test_loadings_are_correlations_of_leaves_with_components(total: pd.DataFrame) -> None:
    place, _, loadings = tsne.components(total, BENCHMARKS)
    for leaf in ("A", "B", "C"):
        for column in ("x", "y"):
            wanted = np.corrcoef(total[leaf], place[column])[0, 1]
            assert loadings.loc[leaf, column] == pytest.approx(wanted, abs=1e-9)


def test_tsne_takes_missing_as_zero_leaves_out_parents_and_models_without_scores(total: pd.DataFrame) -> None:
    total.loc[:4, "A"] = np.nan
    total.loc[29, ["A", "B", "C"]] = np.nan  # scored on the parent only
    place = tsne.embed(total, BENCHMARKS, perplexity=5, seed=0)
    assert place["model"].tolist() == [f"m{i}" for i in range(29)]
    zeros = total.fillna({"A": 0.0}).assign(average_vision=0.0)
    again = tsne.embed(zeros[:29], BENCHMARKS, perplexity=5, seed=0)
    pd.testing.assert_frame_equal(place, again)


@pytest.mark.parametrize(("n", "drawn"), [(3, False), (4, True)])
def test_tsne_of_few_models(total: pd.DataFrame, n: int, drawn: bool) -> None:
    figure = tsne.draw(total.head(n), BENCHMARKS, TARGETS[0])
    assert bool(figure.axes) == drawn
    assert ("Fewer than four" in words(figure)) != drawn


def test_names_that_would_be_cut_to_the_same_text_are_cut_to_differ() -> None:
    alike = [
        f"Marques2020_FreemanZiemba2013_{middle}_texture_modulation_index" for middle in ("abs", "rel", "")
    ]
    cut = figures.short([*alike, "V1", f"{alike[0][:26]}…{alike[0][-11:]}"])
    assert len(set(cut.values())) == 5
    assert cut["V1"] == "V1"
    assert all(cut[a] == a or "…" in cut[a] for a in alike)
    alone = figures.short(alike[:1])[alike[0]]
    assert len(alone) == 38 and alone != cut[alike[0]]


def test_no_two_benchmarks_of_the_real_leaderboard_share_a_shortened_name(data_dir: Path) -> None:
    parsed = export.parse(data_dir / "brainscore" / "leaderboard_2025-05-07.csv")
    names = list(parsed.benchmarks["benchmark"])
    for most in (20, 30, 38, 44, 52):
        cut = figures.short(names, most)
        assert len(set(cut.values())) == len(names)
        assert max(map(len, cut.values())) <= most + 30


def test_a_heatmap_of_two_panels_names_no_two_rows_alike() -> None:
    names = [f"Author2020_a_long_name_of_{i:03}_that_goes_on_and_on-same_end" for i in range(100)]
    tree = pd.DataFrame(
        {"benchmark": ["p", *names[:50], "q", *names[50:]], "parent": None, "category": "neural", "depth": 1,
         "is_leaf": [False, *[True] * 50, False, *[True] * 50], "n_scored": 1}
    )  # fmt: skip
    table = pd.DataFrame(
        {"benchmark": tree["benchmark"], "target": "t", "rho": 0.1, "p": 0.5, "q": 0.5, "n": 9}
    )
    figure = heatmap.draw(table, tree)
    shown = [t.get_text() for a in figure.axes for t in a.texts if t.get_gid() == "benchmark"]
    assert len(shown) == len(set(shown)) == len(tree)
