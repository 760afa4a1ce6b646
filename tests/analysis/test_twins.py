"""Networks trained both adversarially and not: which are a pair, and what of both is set side by side."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from alignsec.analysis import twins
from alignsec.report import findings, summary
from tests.report.test_unscored import made

TARGET = "robust_top1@1/255"
TREE = pd.DataFrame({"benchmark": ["average", "a", "b"], "depth": [0, 1, 1], "is_leaf": [False, True, True]})


def study() -> tuple[pd.DataFrame, pd.DataFrame]:
    known = pd.DataFrame(
        [
            ("robust", "resnet", "adversarial", 25, "ImageNet-1k"),
            ("plain", "resnet", "standard", 25, "ImageNet-1k"),
            ("plain too", "resnet", "standard", 25, "ImageNet-1k"),
            ("less data", "resnet", "standard", 25, "a part"),
            ("larger", "resnet", "standard", 44, "ImageNet-1k"),
            ("stylised", "resnet", "stylised", 25, "ImageNet-1k"),
            ("of nobody knows", "vit", "adversarial", None, "ImageNet-1k"),
            ("unknown too", "vit", "standard", None, "ImageNet-1k"),
            ("elsewhere", "resnet", "standard", 25, "ImageNet-1k"),
        ],
        columns=["model", "family", "training", "parameters", "data"],
    ).assign(architecture="convolutional", input_size=224)
    total = known.loc[known["model"] != "elsewhere", ["model", "family"]].reset_index(drop=True)
    rng = np.random.default_rng(0)
    total[["average", "a", "b", TARGET]] = rng.random((len(total), 4))
    total.loc[total["model"] == "plain too", "average"] = np.nan
    return total, known


def test_pairs_are_the_same_network_and_their_values_the_tables() -> None:
    total, known = study()
    plan: Any = {"primary": {"adversarial Linf": TARGET}}
    found = twins.of_study(total, TREE, known, plan)
    assert list(found.columns) == twins.COLUMNS
    assert list(zip(found["twin"], found["quantity"], strict=True)) == [
        ("plain", "average"), ("plain", TARGET), ("plain too", TARGET)
    ]  # fmt: skip
    assert set(found["model"]) == {"robust"}
    values = total.set_index("model")
    for row in found.itertuples():
        wanted = values.loc["robust", row.quantity] - values.loc[row.twin, row.quantity]
        assert row.difference == pytest.approx(wanted)
    assert twins.of_study(total, TREE, None, plan).empty


def test_the_summary_counts_them() -> None:
    total, known = study()
    plan: Any = {"primary": {"adversarial Linf": TARGET}}
    found = twins.of_study(total, TREE, known, plan).assign(difference=[0.2, 0.3, -0.1])
    one = made(60, scored=40)
    text = summary.markdown(findings.Study(**(vars(one) | {"twins": found})), "own")
    assert "1 network trained adversarially and not" in text and "make 2 pairs" in text
    assert "AutoAttack top-1, ε = 1/255 higher in 1 of 2 (median difference 0.10)" in text
    assert "adversarially and not" not in summary.markdown(one, "own")
