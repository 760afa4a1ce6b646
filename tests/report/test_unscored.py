"""A study of models that no leaderboard knows still says how accurate they are."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from alignsec.analysis.correlate import correlate
from alignsec.analysis.plan import choose
from alignsec.ground import tables
from alignsec.report import drawing, explorer, findings, latex, summary
from alignsec.study import catalogue
from alignsec.study.layout import Layout
from alignsec.study.records import write_json
from tests.report.test_figures import BENCHMARKS, TARGETS

MEASURED = ["clean_top1", *TARGETS]


def made(models: int, scored: int = 0) -> findings.Study:
    """A study of that many models, the first of which have alignment scores."""
    rng = np.random.default_rng(0)
    total = pd.DataFrame(
        {"model": [f"m{i}" for i in range(models)], "family": [f"f{i % 3}" for i in range(models)]}
    )
    for name in [*BENCHMARKS["benchmark"], "exported_average_vision"]:
        total[name] = np.where(np.arange(models) < scored, rng.random(models), np.nan)
    total[MEASURED] = rng.integers(0, 101, (models, len(MEASURED))) / 100
    measured = total.melt("model", MEASURED, "target", "value").assign(low=0.0, high=1.0, n=100)
    return findings.Study(
        total,
        BENCHMARKS,
        measured,
        correlate(total, BENCHMARKS, MEASURED, flips=1000),
        pd.DataFrame(columns=["model", "step", "reason"]),
        pd.DataFrame(columns=["benchmark", "target", "n", "n_collapsed", "rho", "rho_collapsed"]),
        pd.DataFrame(columns=["model", "warning", "value", "meaning"]),
    )


@pytest.mark.parametrize("models", [1, 6])
def test_the_summary_says_so_and_lists_the_accuracies(models: int) -> None:
    study = made(models)
    text = summary.markdown(study, "own")
    assert "No model of the study has alignment scores" in text
    for row in study.total.itertuples():
        line = next(line for line in text.splitlines() if line.startswith(f"- {row.model}: "))
        assert f"clean top-1: {row.clean_top1:.2f}; " in line
        assert line.count("AutoAttack top-1, ε = ") == 3
    assert "independent benchmarks" not in text and "nan" not in text


def test_a_model_without_scores_is_listed_beside_others_that_have_them() -> None:
    text = summary.markdown(made(60, scored=5), "mixed")
    assert "5 models of 3 families have both" in text
    assert "- m5: clean top-1: " in text and "- m4: " not in text
    assert "5 more models in tables/models.csv." in text
    assert "without alignment scores" not in summary.markdown(made(6, scored=6), "all")


def test_tables_figures_and_explorer_are_made_and_captions_say_it(tmp_path: Path) -> None:
    study, layout = made(6), Layout(tmp_path / "results" / "own")
    found = findings.all_tables(study)
    for name in ("correlations", "predictors", "aggregates"):
        assert found[name][1].startswith("No model has alignment scores, so nothing could be estimated. ")
    assert not findings.all_tables(made(6, scored=6))["correlations"][1].startswith("No model")
    models = found["models"][0].set_index("model")
    assert models.loc["m3", "clean_top1"] == study.total.set_index("model").loc["m3", "clean_top1"]
    assert all(latex.table(frame, caption, name) for name, (frame, caption) in found.items())
    assert explorer.content(study, "own")["models"] == [f"m{i}" for i in range(6)]
    scores = pd.DataFrame({"model": "z", "benchmark": ["A", "B", "C"], "score": 0.1, "status": "scored"})
    for frame, name, kind in (
        (study.total, "total", "total_scores"), (BENCHMARKS, "benchmarks", "benchmarks"),
        (scores, "scores", "scores"),
        (study.robustness, "robustness", "robustness"), (study.correlations, "correlations", "correlations"),
    ):  # fmt: skip
        tables.write(frame, getattr(layout, name), kind)
    tables.write_csv(tables.empty("kinds"), layout.kinds)
    tables.write_csv(tables.empty("specifications"), layout.specifications)
    write_json(layout.plan, choose(study.robustness))
    for name in catalogue.FIGURES:
        assert drawing.draw(name, layout.root)
