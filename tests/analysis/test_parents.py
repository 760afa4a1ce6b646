"""The benchmark tree of the real file, and parents computed again."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from alignsec.analysis import parents
from tests import planted_study as planted

TREE = pd.DataFrame(
    {
        "benchmark": ["root", "mid", "a", "b", "c", "d", "alone"],
        "parent": [None, "root", "mid", "mid", "mid", "root", None],
        "category": None,
        "depth": [0, 1, 2, 2, 2, 1, 0],
        "is_leaf": [False, False, True, True, True, True, True],
        "n_scored": 1,
    }
)
SCORES = pd.DataFrame(
    {
        "root": 9.0,
        "mid": 9.0,
        "a": [0.1, 0.2, np.nan, np.nan],
        "b": [0.3, np.nan, np.nan, np.nan],
        "c": [0.5, 0.4, 0.6, np.nan],
        "d": [1.0, 0.0, 0.8, np.nan],
        "alone": 1.0,
    },
    index=["w", "x", "y", "z"],
)


@pytest.mark.parametrize(
    ("completeness", "mid", "root"),
    [
        # y has one of mid's three leaves and two of root's four
        (0.5, [0.3, 0.3, np.nan, np.nan], [0.65, 0.15, 0.8, np.nan]),
        (0.3, [0.3, 0.3, 0.6, np.nan], [0.65, 0.15, 0.7, np.nan]),
        (1.0, [0.3, np.nan, np.nan, np.nan], [0.65, np.nan, np.nan, np.nan]),
    ],
)
def test_a_parent_is_the_mean_of_its_available_children(
    completeness: float, mid: list[float], root: list[float]
) -> None:
    found = parents.recompute(SCORES, TREE, completeness)
    assert list(found.columns) == ["root", "mid"]
    np.testing.assert_allclose(found["mid"], mid)
    np.testing.assert_allclose(found["root"], root)


def test_missing_as_zero_is_what_brain_score_does() -> None:
    found = parents.recompute(SCORES, TREE, missing_as_zero=True)
    np.testing.assert_allclose(found["mid"], [0.3, 0.2, 0.2, 0])
    np.testing.assert_allclose(found["root"], [0.65, 0.1, 0.5, 0])


def test_exported_values_are_kept_beside_and_are_no_leaves() -> None:
    total = parents.complete(SCORES.assign(robust=0.5), TREE)
    assert (total[["exported_root", "exported_mid"]] == 9).all(axis=None)
    assert list(total.columns)[-2:] == ["exported_root", "exported_mid"]
    tree = parents.with_exported(TREE, total.columns)
    assert tree["benchmark"].tolist() == [*TREE["benchmark"], "exported_root", "exported_mid"]
    assert not tree["is_leaf"].tail(2).any()
    assert parents.with_exported(TREE, SCORES.columns) is TREE


def test_the_real_tree_and_its_parents(data_dir: Path) -> None:
    parsed, merged = planted.leaderboard(data_dir)
    tree = parsed.benchmarks
    assert (int((~tree["is_leaf"]).sum()), int(tree["is_leaf"].sum())) == (24, 106)
    wide = parsed.scores.pivot(index="model", columns="benchmark", values="score")
    zero = parents.recompute(wide, tree, missing_as_zero=True)
    exported = wide[zero.columns]
    assert zero.shape == (443, 24)
    off = (zero - exported).abs().to_numpy()[exported.notna().to_numpy()]
    # Exact up to the rounding of the file: three decimals, at every level of the tree, and fewer for scores
    # of 1 and above.
    assert len(off) > 5000
    assert (off <= 0.00101).mean() > 0.995 and off.max() < 0.006
    assert exported.notna().sum().min() > 0

    found = parents.recompute(merged, tree, 0.5)
    leaves = parents.leaves_below(tree)
    for parent in found:
        share = merged[leaves[parent]].notna().mean(axis=1)
        assert (found.loc[share < 0.5, parent].isna()).all()
        full = share == 1
        np.testing.assert_allclose(found.loc[full, parent], merged.loc[full, parent], atol=0.006)
    # what an exported parent measures: how much of it is missing
    lacking = merged[leaves["average_vision"]].isna().sum(axis=1)
    assert merged["average_vision"].corr(lacking, method="spearman") == pytest.approx(-0.66, abs=0.01)
    assert abs(found["average_vision"].corr(lacking, method="spearman")) < 0.2
