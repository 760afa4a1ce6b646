"""Benchmarks of one's own beside the published ones."""

import hashlib
import json
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from alignsec.cli import app
from alignsec.ground import tables
from alignsec.ground.errors import AlignsecError
from alignsec.leaderboard import export
from alignsec.leaderboard.extra import Extra, add
from alignsec.study import config

BOARD = "model_name,neural_vision,V1,FreemanZiemba2013.V1-pls,behavior_vision,Hebart2023-match\n" + "".join(
    f"{m},.{i}1,.{i}1,.{i}1,.{i}2,.{i}2\n" for i, m in enumerate(("a", "b", " b"), 1)
)


@pytest.fixture
def board(tmp_path: Path) -> export.Parsed:
    (tmp_path / "l.csv").write_text(BOARD)
    return export.parse(tmp_path / "l.csv")


def own(
    tmp_path: Path, text: str, name: str = "Mine2026.csv", parent: str = "V1", category: str = "neural"
) -> Extra:
    (tmp_path / name).write_text(text)
    return Extra(str(tmp_path / name), parent, category)


def test_an_own_benchmark_stands_below_its_parent(board: export.Parsed, tmp_path: Path) -> None:
    found = add(board, [own(tmp_path, "model;score\n b;0,5\na;X\n")])
    tree = found.benchmarks.set_index("benchmark")
    assert list(tree.index) == [
        "neural_vision", "V1", "FreemanZiemba2013.V1-pls", "Mine2026", "behavior_vision", "Hebart2023-match"
    ]  # fmt: skip
    assert tree.loc["Mine2026"].to_dict() == {
        "parent": "V1", "category": "neural", "depth": 2, "is_leaf": True, "n_scored": 1
    }  # fmt: skip
    cells = {(r.model, r.benchmark): (r.score, r.status) for r in found.scores.itertuples()}
    assert cells[" b", "Mine2026"] == (0.5, "scored")
    assert cells["a", "Mine2026"][1] == "failed" and cells["b", "Mine2026"][1] == "missing"
    rest = found.scores[found.scores["benchmark"] != "Mine2026"].reset_index(drop=True)
    pd.testing.assert_frame_equal(rest, board.scores)
    tables.write(found.scores, tmp_path / "s.parquet", "scores")
    tables.write(found.benchmarks, tmp_path / "b.parquet", "benchmarks")


def test_a_wide_file_holds_several_and_files_follow_each_other(board: export.Parsed, tmp_path: Path) -> None:
    first = own(
        tmp_path, "model,Mine-a,Mine-b\na,.1,.2\nz,.3,.4\n", parent="behavior_vision", category="behavior"
    )
    second = own(tmp_path, "model,score\na,.1\n", "Other.csv")
    found = add(board, [first, second])
    assert list(found.benchmarks["benchmark"][-2:]) == ["Mine-a", "Mine-b"]
    assert list(found.benchmarks["benchmark"][2:4]) == ["FreemanZiemba2013.V1-pls", "Other"]
    assert len(found.warnings) - len(board.warnings) == 1
    assert "1 of its models are not on the leaderboard and left out: 'z', nearest" in found.warnings[-1]


def test_one_without_parent_stands_alone(board: export.Parsed, tmp_path: Path) -> None:
    (tmp_path / "Mine2026.csv").write_text("model,score\na,.1\n")
    found = add(board, [Extra(str(tmp_path / "Mine2026.csv"), None, "behavior")])
    last = found.benchmarks.iloc[-1]
    assert (last["benchmark"], last["parent"], last["category"], last["depth"]) == (
        "Mine2026",
        None,
        "behavior",
        0,
    )
    tables.write(found.benchmarks, tmp_path / "b.parquet", "benchmarks")


@pytest.mark.parametrize(
    ("text", "more", "message"),
    [
        ("model,score\na,.1\n", {"parent": "V2"}, r"parent 'V2' is no benchmark .*nearest: 'V1'"),
        (
            "model,score\na,.1\n",
            {"parent": "Hebart2023-match", "category": "behavior"},
            "name a group, as 'behavior",
        ),
        (
            "model,score\na,.1\n",
            {"category": "behavior"},
            "category 'behavior', but its parent 'V1' is of 'neural'",
        ),
        ("model,v1_v2\na,.1\n", {}, "benchmark 'v1_v2' is there already, as 'V1'"),
        ("model,score\nA,.1\n", {}, r"none of its 1 models is on the leaderboard.*'A', nearest"),
        (
            "model,score\na,.1\nb,.2\na,.3\n",
            {},
            r"Mine2026\.csv:4: column 'model': 'a' stands in line 2 already",
        ),
        ("model,score\na,high\n", {}, r"Mine2026\.csv:2: column 'score': 'high' is no score"),
        ("net,score\na,.1\n", {}, "column 'model' is missing; the header is net, score"),
        ("model,rank\na,1\n", {}, "no column of scores"),
        ("model,score\n,.1\n", {}, ":2: column 'model' is empty"),
    ],
)
def test_what_does_not_fit_is_said(
    text: str, more: dict[str, str], message: str, board: export.Parsed, tmp_path: Path
) -> None:
    with pytest.raises(AlignsecError, match=message):
        add(board, [own(tmp_path, text, **more)])


def test_the_verb_adds_them_and_the_pinned_file_stays(data_dir: Path, tmp_path: Path) -> None:
    source = data_dir / "brainscore" / "leaderboard_2025-05-07.csv"
    pin = "9140f6aec6b5007b38f4c506bdaa572a334a30df794d25020d9803221c033116"
    run, kept = CliRunner(), tmp_path / "kept.csv"
    assert (
        run.invoke(app, ["leaderboard", "fetch", str(source), "--out", str(kept), "--sha256", pin]).exit_code
        == 0
    )
    mine = own(tmp_path, "model,score\nalexnet,.5\n", "my own.csv")
    entry = json.dumps({"file": mine.file, "parent": "V1", "category": "neural"})
    outputs = ["--out-scores", str(tmp_path / "s.parquet"), "--out-benchmarks", str(tmp_path / "b.parquet")]
    done = run.invoke(app, ["leaderboard", "parse", str(kept), *outputs, "--extra", entry])
    assert done.exit_code == 0, done.output
    tree = tables.read(tmp_path / "b.parquet", "benchmarks").set_index("benchmark")
    assert tree.loc["my own", ["parent", "category", "n_scored"]].tolist() == ["V1", "neural", 1]
    scores = tables.read(tmp_path / "s.parquet", "scores")
    assert len(scores) == 443 * 131
    assert "UTF-8, commas, 455 rows" in done.output
    assert hashlib.sha256(kept.read_bytes()).hexdigest() == pin


def test_the_configuration_names_files_and_refuses_unknown_keys(tmp_path: Path) -> None:
    def study(**entry: str) -> dict[str, object]:
        entry = {"file": "m.csv", "parent": "V1", "category": "neural"} | entry
        return {"study": "x", "zoo": {"sheet": "a.tsv"}, "leaderboard": {"extra": [entry]}}

    (tmp_path / "beside").mkdir()
    (tmp_path / "beside" / "m.csv").touch()
    found = config.located(config.resolve(study()), [tmp_path / "beside"], tmp_path)
    assert found["leaderboard"]["extra"][0]["file"] == "beside/m.csv"
    with pytest.raises(
        AlignsecError, match=r"unknown key leaderboard\.extra\[0\]\.parnt: did you mean .*parent"
    ):
        config.resolve(study(parnt="V1"))
    with pytest.raises(AlignsecError, match=r"leaderboard\.extra\.0\.category"):
        config.resolve(study(category="neuronal"))
    with pytest.raises(AlignsecError, match=r"leaderboard\.extra\[0\]\.file 'a\{x\}\.csv'"):
        config.resolve(study(file="a{x}.csv"))
