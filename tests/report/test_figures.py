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
from alignsec.leaderboard import export
from alignsec.report import figures
from alignsec.report.figures import heatmap, save, scatter, tsne

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


def test_a_larger_epsilon_is_darker_whatever_the_order() -> None:
    colors = figures.target_colors(TARGETS)
    luminance = {t: float(np.dot(colors[t][:3], [0.2126, 0.7152, 0.0722])) for t in TARGETS}
    assert luminance["robust_top1@0.001"] > luminance["robust_top1@1/255"] > luminance["robust_top1@8/255"]
    assert figures.target_colors(TARGETS[::-1]) == colors


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
    assert figure.axes[0].lines[:] == []
    assert {len(c.get_offsets()) for c in figure.axes[0].collections} == {3}
    assert "No model has both B" in words(scatter.draw(total, table, "B", TARGETS))
    assert "no engineering_vision" in words(scatter.draw(total, table, "engineering_vision", TARGETS))


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
