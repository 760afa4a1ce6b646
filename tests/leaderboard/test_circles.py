"""Exports whose scores and the known tree disagree about what lies above what."""

from pathlib import Path

import numpy as np
import pytest

from alignsec.ground.errors import AlignsecError
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


@pytest.mark.timeout(60)
def test_a_circle_that_nothing_resolves_names_both_benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "_without_circles", lambda derived, known: {"A1": "B1", "B1": "A1"})
    with pytest.raises(AlignsecError, match=r"'A1' and '[AB]1' are each above the other"):
        tree.build(["A1", "B1"], np.full((2, 2), np.nan), breadth_first=False)
