"""The analysis as a notebook calls it: the rules' own functions, on tables as people have them."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import alignsec
from alignsec.analysis import correlate
from alignsec.analysis.taken import images_of
from alignsec.study import bundled, catalogue, covariates, kinds

LEAVES = ["MajajHong2015.IT-pls", "FreemanZiemba2013.V1-pls", "Geirhos2021sketch-error_consistency"]
TARGET = "robust_top1@1/255"


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> alignsec.Leaderboard:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.random((40, 3)).round(4), columns=LEAVES)
    table.insert(0, "model", [f"net {i}" for i in range(40)])
    path = tmp_path_factory.mktemp("board") / "board.csv"
    table.to_csv(path, index=False)
    return alignsec.load_leaderboard(path)


@pytest.fixture(scope="module")
def mine(board: alignsec.Leaderboard) -> pd.DataFrame:
    scores = board.scores.pivot(index="model", columns="benchmark", values="score").loc[board.models]
    noise = np.random.default_rng(1).random(40)
    frame = pd.DataFrame({"model": board.models, "clean_top1": (0.6 + 0.3 * noise).round(4)})
    frame[TARGET] = (0.5 * scores[LEAVES[0]].to_numpy() + 0.1 * noise).round(4)
    frame["n"] = 10_000
    return frame


FAMILIES = {f"net {i}": f"f{i % 10}" for i in range(40)}


@pytest.fixture(scope="module")
def result(board: alignsec.Leaderboard, mine: pd.DataFrame) -> alignsec.Result:
    return alignsec.relate(board, mine, FAMILIES, flips=1000)


def test_nothing_heavy_is_imported_before_it_is_asked_for() -> None:
    code = (
        "import sys, alignsec; heavy = {'torch', 'pandas', 'matplotlib', 'numpy'}; "
        "assert not heavy & set(sys.modules), heavy & set(sys.modules); alignsec.relate; "
        "assert 'torch' not in sys.modules; dir(alignsec)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert set(alignsec.__all__) <= set(dir(alignsec))
    with pytest.raises(AttributeError, match="no attribute 'relat'"):
        alignsec.relat  # noqa: B018


def test_leaves_are_the_correlations_of_what_was_given(
    result: alignsec.Result, board: alignsec.Leaderboard, mine: pd.DataFrame
) -> None:
    scores = board.scores.pivot(index="model", columns="benchmark", values="score")
    values = mine.set_index("model")[TARGET]
    rows = result.leaves.set_index(["benchmark", "target"])
    for leaf in LEAVES:
        rho = scores[leaf].corr(values, method="spearman")
        assert rows.loc[(leaf, TARGET), "rho"] == pytest.approx(rho, abs=1e-12)
    assert rows.loc[(LEAVES[0], TARGET), "n_families"] == 10
    assert set(result.names["fate"]) == {"used"}


def test_a_file_a_frame_and_the_schemas_own_frame_give_the_same(
    result: alignsec.Result, board: alignsec.Leaderboard, mine: pd.DataFrame, tmp_path: Path
) -> None:
    mine.to_csv(tmp_path / "mine.csv", index=False)
    pd.DataFrame({"model": list(FAMILIES), "family": list(FAMILIES.values())}).to_csv(
        tmp_path / "mine.tsv", sep="\t", index=False
    )
    of_files = alignsec.relate(board, tmp_path / "mine.csv", tmp_path / "mine.tsv", flips=1000)
    pd.testing.assert_frame_equal(of_files.leaves, result.leaves)
    pd.testing.assert_frame_equal(of_files.kinds, result.kinds)
    whole = result.study.robustness
    again = alignsec.relate(board, whole[whole["target"].isin(["clean_top1", TARGET])], FAMILIES, flips=1000)
    pd.testing.assert_frame_equal(
        again.leaves[again.leaves["target"] == TARGET].reset_index(drop=True)[["rho", "rho_low", "p"]],
        result.leaves[result.leaves["target"] == TARGET].reset_index(drop=True)[["rho", "rho_low", "p"]],
    )


def test_kinds_names_and_sentences_are_those_of_the_report(result: alignsec.Result, tmp_path: Path) -> None:
    first = result.kinds.query("rows == 'primary'").set_index("kind")
    assert first.loc["IT predictivity", "leaves"] == LEAVES[0]
    assert result.summary().startswith("# Findings of the study notebook")
    assert result._repr_markdown_() == result.summary()
    page = result.explorer(tmp_path / "x.html").read_text(encoding="utf-8")
    assert LEAVES[0] in page
    for name in ("kinds", "forest", "missingness"):
        assert result.plot(name).axes
    assert type(result.plot("scatter_average")).__name__ == "Figure"
    assert repr(result) == "<Result 'notebook': 40 models of 10 families, 3 leaf benchmarks>"
    with pytest.raises(alignsec.AlignsecError, match=r"'scatter' is not one of .*scatter_average"):
        result.plot("scatter")
    with pytest.raises(alignsec.AlignsecError, match="no option 'colour'"):
        result.plot("kinds", colour="red")


def test_wrong_use_says_what_is_right(
    board: alignsec.Leaderboard, mine: pd.DataFrame, tmp_path: Path
) -> None:
    with pytest.raises(alignsec.AlignsecError, match="no option 'flip': did you mean 'flips'"):
        alignsec.relate(board, mine, flip=3)
    with pytest.raises(alignsec.AlignsecError, match="none of its models"):
        alignsec.relate(board, mine, {"resnet": "resnet"})
    with pytest.raises(alignsec.AlignsecError, match="no column 'family'"):
        alignsec.relate(board, mine, pd.DataFrame({"model": ["net 1"]}))
    with pytest.raises(alignsec.AlignsecError, match="no such table of families"):
        alignsec.relate(board, mine, tmp_path / "families.tsv")
    with pytest.raises(alignsec.AlignsecError, match="no such robustness table"):
        alignsec.relate(board, tmp_path / "mine.csv")
    wrong = mine.assign(**{TARGET: 3.5})
    with pytest.raises(alignsec.AlignsecError, match=r"the frame given\.csv:2.*3\.5"):
        alignsec.relate(board, wrong)


def test_a_name_that_is_not_on_the_leaderboard_has_its_row(
    board: alignsec.Leaderboard, mine: pd.DataFrame
) -> None:
    more = pd.concat([mine, mine.tail(1).assign(model="net 4O")], ignore_index=True)
    found = alignsec.relate(board, more, FAMILIES, flips=1000)
    row = found.names.query("name == 'net 4O'").iloc[0]
    assert (row["where"], row["fate"], row["closest"]) == ("robustness", "unmatched", "net 4")


def test_the_pinned_leaderboard_is_checked_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data_dir: Path
) -> None:
    monkeypatch.setenv("ALIGNSEC_MIRROR", str(data_dir))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = alignsec.load_leaderboard()
    assert len(first.models) == 443
    (kept,) = (tmp_path / "alignsec").rglob("leaderboard.csv")
    monkeypatch.setenv("ALIGNSEC_MIRROR", str(tmp_path / "nothing"))
    pd.testing.assert_frame_equal(alignsec.load_leaderboard().scores, first.scores)
    with pytest.raises(alignsec.AlignsecError, match="SHA-256"):
        alignsec.load_leaderboard(kept, sha256="0" * 64)


def test_what_comes_along_can_be_read() -> None:
    assert len(kinds.read(bundled.path("kinds.tsv"))) > 80
    assert len(covariates.read(bundled.path("covariates.tsv"))) > 200
    with pytest.raises(alignsec.AlignsecError, match="install it again"):
        bundled.path("nothing.tsv")


def test_a_finished_study_opens(tmp_path: Path) -> None:
    with pytest.raises(alignsec.AlignsecError, match="run the study first"):
        alignsec.open_study(tmp_path)


def test_correlations_come_from_the_rules_own_function(
    board: alignsec.Leaderboard, result: alignsec.Result
) -> None:
    targets = correlate.targets_of(result.study.robustness)
    images = images_of(result.study.robustness)
    direct = correlate.correlate(result.study.total, board.benchmarks, targets, images=images, flips=1000)
    pd.testing.assert_frame_equal(direct, result.leaves)


def test_every_figure_of_the_report_is_drawn_or_says_where_it_is(result: alignsec.Result) -> None:
    for name in catalogue.FIGURES:
        for file in catalogue.files(name):
            if name == "specifications":
                with pytest.raises(alignsec.AlignsecError, match="a study that the workflow has run has it"):
                    result.plot(file)
            else:
                assert type(result.plot(file)).__name__ == "Figure", file


def test_options_are_held_to_the_configurations_schema(
    board: alignsec.Leaderboard, mine: pd.DataFrame
) -> None:
    for option in ({"completeness": 5}, {"flips": -1}, {"plan": {"margin": 0.2}}):
        with pytest.raises(alignsec.AlignsecError, match=next(iter(option))):
            alignsec.relate(board, mine, **option)
    with pytest.raises(alignsec.AlignsecError, match="load_leaderboard"):
        alignsec.relate("board.csv", mine)  # type: ignore[arg-type]
