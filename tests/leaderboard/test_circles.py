"""Exports whose scores and the known tree disagree about what lies above what."""

from pathlib import Path

import numpy as np
import pytest

from alignsec.leaderboard import export, tree

PARENT, CHILD = "V1-surround_modulation", "Marques2020_Cavanaugh2002-surround_suppression_index"


@pytest.mark.timeout(60)
def test_a_leaf_before_its_single_parent_is_told_by_the_known_tree(tmp_path: Path) -> None:
    """A parent of one child equals it, so scores cannot tell which is which."""
    path = tmp_path / "l.csv"
    path.write_text(f"model_name,{CHILD},{PARENT}\n" + "".join(f"m{i},.{i}1,.{i}1\n" for i in range(1, 8)))
    found = export.parse(path).benchmarks.set_index("benchmark")
    assert found["parent"].to_dict() == {PARENT: None, CHILD: PARENT}
    assert found["is_leaf"].to_dict() == {PARENT: False, CHILD: True}


@pytest.mark.timeout(120)
def test_in_whatever_order_columns_stand_every_benchmark_has_a_root() -> None:
    """Names known and made up, values that agree by chance: no order gives a circle."""
    known = list(tree.known_tree())
    made_up = ["Lab2027.V1", "Lab2027.V1-a", "Lab2027.V1-b", "Lab2027", "Lab2027a-x", "P", "Q"]
    draw = np.random.default_rng(0)
    for _ in range(150):
        names = list(draw.permutation(known)[: draw.integers(1, 40)]) + made_up
        names = [str(n) for n in draw.permutation(names)]
        values = draw.integers(0, 3, (6, 1)) / 2 + np.zeros((6, len(names)))
        leaves = None if draw.random() < 0.5 else {n for n in names if draw.random() < 0.5}
        hints = tree.Hints(tree.known_tree(), leaves)
        parents = dict(tree.build(names, values, hints)[0][["benchmark", "parent"]].itertuples(index=False))
        assert set(tree.tree_order(parents)) == set(names)
