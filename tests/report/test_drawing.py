"""The catalogue of figures, and the way from a study's folder to their files."""

import json
from pathlib import Path
from types import ModuleType, SimpleNamespace

import jinja2
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from typer.testing import CliRunner

from alignsec.analysis import names, selections
from alignsec.analysis.correlate import correlate
from alignsec.analysis.plan import choose
from alignsec.cli import app
from alignsec.ground import tables
from alignsec.ground.errors import AlignsecError
from alignsec.ground.schemas import SCHEMAS
from alignsec.report import drawing, findings
from alignsec.report.figures import kinds, message
from alignsec.study import catalogue, config, sheet
from alignsec.study.layout import Layout
from alignsec.study.records import write_json
from tests.report.test_figures import BENCHMARKS, TARGETS

ROOT = Path(__file__).resolve().parents[2]
# another value of every option of a figure, but of those that so few models do not show
CHOICES = ("control", "completeness", "models", "adversarially_trained", "scale", "families")
UNSEEN = {"tsne": {"seed"}}  # it starts from the principal components
OTHER = {
    "heatmap": {"annotate": True, "colormap": "PuOr_r"},
    "forest": {"rows": 2},
    "scatter": {"point_size": 60},
    "tsne": {"perplexity": 3, "completeness": 0.95},
    "curves": {"sheet": "models.tsv"},
}
RESOLVED = config.resolve({"study": "s", "zoo": {"sheet": "models.tsv"}})


def kinds_table() -> pd.DataFrame:
    """A supported kind, one that is too small, one that cannot be told, and one without an estimate."""
    frame = pd.DataFrame(
        {
            "kind": ["a", "b", "c", "d"],
            "name": ["a kind of a name that takes two lines of the figure", "b", "c", "d"],
            "area": ["V1", "behavior", "engineering", "IT"],
            "verdict": ["supported", "smaller than .3", "cannot tell", "cannot tell"],
            "rho": [0.5, 0.05, 0.2, np.nan],
            "low": [0.3, -0.1, -0.3, np.nan],
            "high": [0.7, 0.2, 0.6, np.nan],
            "raw_rho": [0.6, 0.1, 0.3, np.nan],
            "within_rho": [0.4, np.nan, 0.1, np.nan],
            "within_low": [0.2, np.nan, -0.2, np.nan],
            "within_high": [0.6, np.nan, 0.5, np.nan],
        }
    )
    frame = frame.assign(target=TARGETS[0], rows="primary", n=30, n_families=8, n_leaves=2, margin=0.3)
    frame = frame.assign(
        hypotheses="human-likeness", control="clean_top1", within_verdict="", leaves="A; B", note=""
    )
    return frame.reindex(columns=list(SCHEMAS["kinds"]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of thirty models, three benchmarks and three epsilons."""
    study = Layout(tmp_path_factory.mktemp("study") / "results" / "made-up")
    rng = np.random.default_rng(0)
    leaves = ["A", "B", "C"]
    total = pd.DataFrame({"model": [f"m{i}" for i in range(30)], "family": [f"f{i % 8}" for i in range(30)]})
    total[leaves] = rng.random((30, 3))
    total.loc[:2, "A"] = np.nan
    total["average_vision"] = total[leaves].mean(axis=1)
    total["exported_average_vision"] = total[leaves].fillna(0).mean(axis=1)
    total[TARGETS] = rng.random((30, 3))
    measured = total.melt("model", TARGETS, "target", "value").assign(low=0.0, high=1.0, n=100)
    scores = total.melt("model", leaves, "benchmark", "score")
    write_json(study.plan, choose(measured))
    tables.write(total, study.total, "total_scores")
    tables.write(BENCHMARKS, study.benchmarks, "benchmarks")
    tables.write(measured, study.robustness, "robustness")
    tables.write(measured, study.targets, "robustness")
    tables.write(
        scores.assign(status=np.where(scores["score"].isna(), "missing", "scored")), study.scores, "scores"
    )
    tables.write(correlate(total, BENCHMARKS, TARGETS, flips=1000), study.correlations, "correlations")
    tables.write_csv(kinds_table(), study.kinds)
    choices = {"target_kind": "adversarial Linf", "target": TARGETS[0], **dict.fromkeys(CHOICES, "one")}
    other = kinds_table().assign(**choices, primary=True)
    tables.write_csv(other[list(SCHEMAS["specifications"])], study.specifications)
    tables.write_csv(pd.DataFrame(columns=selections.COLUMNS), study.selections)
    tables.write_csv(
        pd.DataFrame({"model": ["x"], "step": "preflight", "reason": "no classifier"}), study.excluded
    )
    tables.write_csv(pd.DataFrame(columns=["n", "n_collapsed", "rho", "rho_collapsed"]), study.duplicates)
    tables.write_csv(pd.DataFrame(columns=["model", "warning", "value", "meaning"]), study.warnings)
    tables.write_csv(pd.DataFrame([("a", "sheet", "used", "", "", 1.0)], columns=names.COLUMNS), study.names)
    rows = [[m, "factory", "package:make", "of the sheet", ""] for m in total["model"]]
    sheet.write(pd.DataFrame(rows, columns=sheet.COLUMNS), study.root / "models.tsv")
    return study.root


@pytest.mark.parametrize("name", catalogue.FIGURES)
def test_a_figure_draws_what_its_line_says_and_each_option_changes_it(
    name: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    options = catalogue.options(name, RESOLVED)
    assert set(options) == set(OTHER.get(name, {})) | UNSEEN.get(name, set())
    options = {k: v for k, v in options.items() if k != "sheet"}  # first with the leaderboard's families
    written = drawing.draw(name, folder, options, tmp_path)
    assert {p.name for p in written} == {f"{f}.{s}" for f in catalogue.files(name) for s in ("pdf", "png")}
    before = {p.name: p.read_bytes() for p in written}
    assert all(before.values())
    for key, value in OTHER.get(name, {}).items():
        drawing.draw(name, folder, options | {key: value}, tmp_path)
        assert any(before[p.name] != p.read_bytes() for p in written), key
    drawing.draw(name, folder)
    assert all((folder / "figures" / n).read_bytes() == raw for n, raw in before.items())


@pytest.mark.parametrize("name", catalogue.FIGURES)
def test_a_figures_line_names_what_there_is(name: str) -> None:
    entry = catalogue.FIGURES[name]
    layout = Layout(Path("results/s"))
    assert all(isinstance(getattr(layout, t), Path) for t in entry.tables)
    assert (ROOT / "workflow" / "report" / f"{name}.rst").is_file()


def test_every_section_of_looks_is_that_of_a_figure() -> None:
    assert set(config.schema()["properties"]["report"]["properties"]) <= set(catalogue.FIGURES)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("heat", {}, "'heat' is not one of kinds, specifications, heatmap"),
        ("heatmap", {"anotate": True}, "no option 'anotate'; it has annotate, colormap"),
        ("p_values", {"rows": 3}, "no option 'rows'; it has none"),
        ("heatmap", {"colormap": "viridis"}, "option colormap: 'viridis' is not one of"),
        ("tsne", {"completeness": 2}, "option completeness: 2 is greater than the maximum"),
    ],
)
def test_what_a_figure_does_not_take_is_refused(
    folder: Path, name: str, options: dict[str, object], message: str
) -> None:
    with pytest.raises(AlignsecError, match=message):
        drawing.draw(name, folder, options)


def test_a_table_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(AlignsecError, match=r"all\.parquet is not there"):
        drawing.draw("forest", tmp_path)


def test_a_module_that_draws_other_files_than_its_line_says_is_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = ModuleType("made")

    def of_study(tables: dict[str, pd.DataFrame], options: dict[str, object]) -> dict[str, Figure]:
        assert list(tables) == ["robustness"]  # nothing that its line does not name
        return {"other": message("")}

    made.of_study = of_study  # type: ignore[attr-defined]
    monkeypatch.setitem(catalogue.FIGURES, "mine", catalogue.Figure("made", ("robustness",)))
    monkeypatch.setattr(catalogue, "imported", lambda entry: made)
    with pytest.raises(AlignsecError, match="made drew other; its line in the catalogue says mine"):
        drawing.draw("mine", folder, {}, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_each_verb_takes_the_studys_folder(folder: Path, tmp_path: Path) -> None:
    def verb(*words: str) -> None:
        done = CliRunner().invoke(app, ["report", *words, "--study", str(folder)])
        assert done.exit_code == 0, done.output

    verb("figures", "forest", "--options", json.dumps({"rows": 2}), "--out", str(tmp_path))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["forest.pdf", "forest.png"]
    verb("tables")
    assert {p.name for p in (folder / "tables").iterdir()} == {
        f"{t}.{s}" for t in catalogue.TABLES for s in ("csv", "tex")
    }
    table, _ = findings.all_tables(findings.Study.read(folder))["targets"]
    pd.testing.assert_frame_equal(pd.read_csv(folder / "tables" / "targets.csv"), table)
    verb("summary")
    assert (folder / "summary.md").read_text().startswith("# Findings of the study made-up\n")
    verb("explorer")
    assert "made-up</title>" in (folder / "explorer.html").read_text()[:2000]


def test_captions_say_the_configurations_values() -> None:
    for path in sorted((ROOT / "workflow" / "report").glob("*.rst")):
        template = jinja2.Template(path.read_text(encoding="utf-8"), undefined=jinja2.StrictUndefined)
        said = [
            template.render(snakemake=SimpleNamespace(config={"study": "s"} | given))
            for given in ({}, {"analysis": {"completeness": 0.7}})
        ]
        if path.stem == "tsne":
            assert "at least 0.5 of their scores" in said[0] and "at least 0.7 of their scores" in said[1]
        else:
            assert said[0] == said[1]


def test_the_kinds_are_drawn_by_area_with_a_mark_for_each_verdict() -> None:
    figure = kinds.draw(kinds_table())
    axes = figure.axes[0]
    said = [label.get_text().replace("\n", " ") for label in axes.get_yticklabels()]
    assert said == ["a kind of a name that takes two lines of the figure (30)", "b (30)", "c (30)"]
    drawn = [line for line in axes.get_lines() if line.get_gid() == "estimate"]
    assert [line.get_marker() for line in drawn] == ["D", "s", "o"]
    assert [line.get_xdata()[0] for line in drawn] == [0.5, 0.05, 0.2]
    intervals = [c.get_segments() for c in axes.collections if c.get_gid() == "interval"]
    assert [tuple(seg[0][:, 0]) for seg in intervals] == [(0.3, 0.7), (-0.1, 0.2), (-0.3, 0.6)]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert {"supported", "smaller than the margin", "cannot tell", "|ρ| below .3"} <= set(legend)


def test_no_kind_is_said_where_none_was_estimated() -> None:
    figure = kinds.draw(tables.empty("kinds"))
    assert "No kind of benchmarks has an estimate" in figure.texts[0].get_text()
