"""Prediction of families left out, against scikit-learn and where nothing is to be predicted."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict

from alignsec.analysis import prediction
from alignsec.ground import tables

TARGET = "robust_top1@1/255"


def made(seed: int, effect: float = 0.0, n: int = 150) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Benchmarks a1, a2 (kind A) and b1 (kind B) of one category; A alone goes with robustness."""
    rng = np.random.default_rng(seed)
    family = rng.integers(0, 20, n)

    def normal() -> np.ndarray:
        return rng.standard_normal(20)[family] + rng.standard_normal(n)

    a, clean = normal(), normal()
    total = pd.DataFrame({"model": [f"m{i}" for i in range(n)], "family": [f"f{f}" for f in family]})
    total = total.assign(a1=a, a2=a + 0.3 * normal(), b1=normal(), clean_top1=clean)
    total[TARGET] = clean + effect * a + normal()
    leaves = pd.DataFrame({"benchmark": ["a1", "a2", "b1"], "category": "neural", "kind": ["A", "A", "B"]})
    return total, leaves


def test_r2_of_families_left_out_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    x, family = rng.standard_normal((80, 3)), rng.integers(0, 9, 80)
    y = rng.standard_normal((4, 80)) + x[:, 0] + 0.5 * rng.standard_normal(9)[family]
    found = prediction.r2(np.column_stack([np.ones(80), x]), y, family)
    for row, r2 in zip(y, found, strict=True):
        said = cross_val_predict(LinearRegression(), x, row, groups=family, cv=LeaveOneGroupOut())
        assert r2 == pytest.approx(r2_score(row, said), abs=1e-12)


def test_what_predicts_is_above_its_band_and_what_does_not_is_within() -> None:
    above = {"A": 0, "B": 0, "neural": 0}
    for seed in range(20):
        total, leaves = made(seed, effect=0.7)
        found = prediction.predict(total, leaves, [TARGET], flips=200).set_index("group")
        assert list(found["predictors"]) == [2, 1, 1]
        np.testing.assert_allclose(found["delta"], found["r2"] - found["r2_control"])
        for group in above:
            above[group] += found.loc[group, "delta"] > found.loc[group, "null_high"]
    assert min(above["A"], above["neural"]) >= 18
    assert above["B"] <= 4  # 1 of 20 is expected


def test_rejections_are_as_rare_as_the_level_says_where_nothing_predicts() -> None:
    p = [
        prediction.predict(*made(seed), [TARGET], flips=59).set_index("group").loc["A", "p"]
        for seed in range(100)
    ]
    assert np.mean(np.array(p) <= 0.05) <= 0.125  # .05 and three standard errors


def test_few_models_and_constants_leave_a_row_that_says_so() -> None:
    total, leaves = made(0)
    few = prediction.predict(total.head(8), leaves, [TARGET])
    assert few["delta"].isna().all() and few["note"].str.contains("too few").all()
    same = prediction.predict(total.assign(**{TARGET: 0.0}), leaves, [TARGET])
    assert same["note"].eq("the target is constant").all()
    without = prediction.predict(total.drop(columns="clean_top1"), leaves.drop(columns="kind"), [TARGET])
    assert without["group"].tolist() == ["neural"] and without["delta"].notna().all()
    for table in (few, same, without):
        tables.validate(table, "prediction")


def test_a_model_with_too_few_of_a_kinds_leaves_is_left_out() -> None:
    total, leaves = made(0)
    total.loc[:39, ["a1", "a2"]] = np.nan
    total.loc[40:59, "a1"] = np.nan
    found = prediction.predict(total, leaves, [TARGET], flips=50).set_index("group")
    assert (found.loc["A", "n"], found.loc["B", "n"], found.loc["neural", "n"]) == (110, 150, 110)
    strict = prediction.predict(total, leaves, [TARGET], completeness=1, flips=50).set_index("group")
    assert strict.loc["A", "n"] == 90


def test_a_plan_is_predicted_by_kinds_and_a_kind_of_few_models_spoils_no_category() -> None:
    total, leaves = made(3, effect=0.8)
    total["c1"] = total["b1"].where(total.index < 30)
    total[["shift_top1@a", "odd"]] = total[[TARGET, "clean_top1"]]
    tree = pd.DataFrame({"benchmark": ["a1", "a2", "b1", "c1"], "category": "neural", "is_leaf": True})
    kinds = leaves.drop(columns="category").assign(area="V1", metric="m", paradigm="p", name="n")
    kinds = pd.concat([kinds, kinds.tail(1).assign(benchmark="c1", kind="C")])
    primary = {"adversarial Linf": TARGET, "shift": "shift_top1@a", "clean": "clean_top1"}
    plan: Any = {"primary": primary, "control": None}
    found = prediction.of_plan(total, tree, kinds, plan).set_index(["target", "group"])
    assert list(dict.fromkeys(found.index.get_level_values(0))) == [TARGET, "shift_top1@a"]
    assert found.loc[(TARGET, "C"), "n"] == 30 and found.loc[(TARGET, "A"), "n"] == 150
    neural = found.loc[(TARGET, "neural")]
    assert (neural["predictors"], neural["benchmarks"], neural["n"]) == (2, 3, 150)
    assert neural["delta"] > neural["null_high"]
    other = prediction.of_plan(total, tree, kinds, plan | {"control": "odd"})
    assert set(other["control"]) == {"odd"}
