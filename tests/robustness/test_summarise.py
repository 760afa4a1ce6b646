"""From verdicts, or a table of one's own, to robustness by model."""

from pathlib import Path

import pandas as pd
import pytest

from alignsec.ground.errors import AlignsecError
from alignsec.robustness import own as own_tables
from alignsec.robustness import summarise as robustness


def test_own_tables_may_hold_distances_and_no_share_above_one(tmp_path: Path) -> None:
    own = tmp_path / "own.csv"
    own.write_text("model,target,value,n\na,robust_top1@L2:0.5,0.4,50\na,median_distance@L2,1.7,50\n")
    table = own_tables.read_own(own).set_index("target")
    assert table.loc["median_distance@L2", "value"] == 1.7
    assert pd.isna(table.loc["median_distance@L2", "low"])
    assert table.loc["robust_top1@L2:0.5", "low"] < 0.4
    own.write_text("model,target,value\na,robust_top1@L2:0.5,1.7\n")
    with pytest.raises(AlignsecError, match=r"own\.csv:2: value '1\.7'"):
        own_tables.read_own(own)


def test_median_distance_by_hand() -> None:
    rows = [
        {"model": "m", "image": str(i), "label": 0, "epsilon": e, "correct": i > 0, "correct_top5": True,
         "robust": d > e and i > 0, "top5": None, "stage": "", "distance": d if d < 9 else None}
        for e in (0.1, 0.2)
        for i, d in enumerate([0.05, 0.08, 0.15, 9.0, 0.3])
    ]  # fmt: skip
    status = [{"model": "m", "step": "attack", "status": "ok", "reason": "", "warnings": {"not_monotone": 2}}]
    table, _ = robustness.summarise([pd.DataFrame(rows)], status, [], ["0.1", "0.2"], "Linf")
    # misclassified 0, then .08, .15, and two censored at .2
    assert table.set_index("target").loc["median_distance", ["value", "low", "high"]].tolist() == [
        0.15,
        0,
        0.2,
    ]
    told = robustness.doubts(status * 2)
    assert told[["model", "warning", "value"]].to_numpy().tolist() == [["m", "not_monotone", 4]]
