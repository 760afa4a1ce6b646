"""Benchmarks and robustness side by side: whose row it is, and what the weights are known by."""

import json
from pathlib import Path

import pandas as pd
import pytest

from alignsec.analysis.join import join, side_by_side, weights_of
from alignsec.ground.errors import AlignsecError
from alignsec.robustness.summarise import COLUMNS

MERGED = pd.DataFrame(
    {"model": ["a", "b"], "plugin": ["", ""], "family": ["f", "g"], "V1": [0.1, 0.2], "V2": [0.3, 0.4]}
)


def measured(**of: dict[str, float]) -> pd.DataFrame:
    rows = [(m, t, v, None, None, None) for m, row in of.items() for t, v in row.items()]
    return pd.DataFrame(rows, columns=COLUMNS)


def test_without_a_sheet_the_models_of_the_merge_keep_their_rows() -> None:
    total = side_by_side(MERGED, ["V2", "V1"], measured(b={"z": 0.5, "c": 0.6}, other={"z": 0.1}), None)
    assert list(total.columns) == ["model", "family", "V2", "V1", "z", "c"]
    assert total["model"].tolist() == ["a", "b"]
    assert total.iloc[1].tolist() == ["b", "g", 0.4, 0.2, 0.5, 0.6]
    assert total.iloc[0][["z", "c"]].isna().all()


def test_the_models_and_families_of_a_sheet_are_those_of_the_study() -> None:
    total = side_by_side(MERGED, ["V1"], measured(b={"z": 0.5}, c={"z": 0.7}), {"c": "own", "b": "mine"})
    assert total["model"].tolist() == ["c", "b"]
    assert total["family"].tolist() == ["own", "mine"]
    assert total["z"].tolist() == [0.7, 0.5]
    assert pd.isna(total["V1"].iloc[0]) and total["V1"].iloc[1] == 0.2


def test_a_robustness_table_of_strangers_or_a_target_named_like_a_benchmark_is_refused() -> None:
    strangers = measured(**{m: {"z": 0.5} for m in "wxyz"})
    with pytest.raises(AlignsecError, match=r"no model of the robustness table \('w', 'x', 'y', …\)"):
        side_by_side(MERGED, ["V1"], strangers, None)
    with pytest.raises(AlignsecError, match="target 'V1' has the name of a benchmark"):
        side_by_side(MERGED, ["V1", "V2"], measured(a={"z": 0.5, "V2": 0.1, "V1": 0.1}), None)


def test_weights_are_known_by_their_hash_or_else_by_where_they_come_from(tmp_path: Path) -> None:
    sheet = pd.DataFrame(
        {"model": ["A", "b", "c"], "source": ["zoo", "timm", "zoo"], "spec": ["arch=x", "", ""]}
    )
    by_name = ["zoo:arch=x", "timm:b", "zoo:c"]
    assert weights_of(sheet, None)["weights"].tolist() == by_name
    assert weights_of(sheet, tmp_path)["weights"].tolist() == by_name
    # names.encode writes a capital as its byte
    for folder, report in (("_41", {"weights_sha256": "h" * 64}), ("b", {"weights_sha256": None}), ("c", {})):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "preflight.json").write_text(json.dumps(report))
    found = weights_of(sheet, tmp_path)
    assert found["weights"].tolist() == ["h" * 64, *by_name[1:]]
    assert found["model"].tolist() == ["A", "b", "c"]


TREE = pd.DataFrame(
    {"benchmark": ["V1", "V2"], "parent": [None, None], "category": ["neural"] * 2, "depth": [0, 0],
     "is_leaf": [True, True], "n_scored": [2, 2]}
)  # fmt: skip
TWINS = pd.DataFrame(
    {"model": ["a", "b"], "source": "factory", "spec": "lab:net", "family": ["own", "own"], "note": ""}
)


def test_a_sheets_models_of_the_same_weights_are_one_row_on_request_and_two_without() -> None:
    robustness = measured(a={"z": 0.2}, b={"z": 0.4})
    both = join(MERGED, TREE, robustness, TWINS)
    assert both.total["model"].tolist() == ["a", "b"] and both.total["family"].tolist() == ["own", "own"]
    assert (both.models, both.weights) == (2, 1)
    one = join(MERGED, TREE, robustness, TWINS, collapse=True)
    assert one.total["model"].tolist() == ["a"]
    assert one.total["z"].tolist() == pytest.approx([0.3])
    # the change is told either way
    assert len(one.duplicates) == len(both.duplicates) == 2


def test_without_a_sheet_nothing_is_known_of_weights() -> None:
    found = join(MERGED, TREE, measured(a={"z": 0.2}), collapse=True)
    assert (found.models, found.weights, len(found.duplicates)) == (2, 2, 0)
    assert found.total["family"].tolist() == ["f", "g"]
