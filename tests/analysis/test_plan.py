"""The primary targets, chosen from targets alone, and the means that they are."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from alignsec.analysis import plan
from alignsec.ground import tables
from alignsec.ground.errors import AlignsecError
from alignsec.robustness.own import read_own
from alignsec.study.plan import PlanFile
from alignsec.study.records import read_plan, write_json

SHARED = Path("cases") / "20-largest-epsilon-all-zero" / "robustness.csv"


def table(values: Mapping[str, Sequence[float | None]], n: int | None = 1000) -> pd.DataFrame:
    """Table of kind ``robustness``; models are called by their place."""
    rows = [
        {"model": f"m{i:02d}", "target": target, "value": value, "low": None, "high": None, "n": n}
        for target, column in values.items()
        for i, value in enumerate(column)
        if value is not None
    ]
    return tables.validate(pd.DataFrame(rows), "robustness")


SPREAD = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
LITTLE = [0.0, 0.1, 0.1, 0.2, 0.2, 0.3, 0.3, 0.4]  # one of eight at the floor
QUARTER = [0.0, 0.0, 0.1, 0.2, 0.2, 0.3, 0.3, 0.4]
NOTHING = [0.0] * 8


def test_epsilons_with_a_quarter_of_the_models_at_the_floor_are_left_out_and_it_is_said() -> None:
    measured = table(
        {"clean_top1": SPREAD, "robust_top1@1/255": SPREAD, "robust_top1@2/255": LITTLE,
         "robust_top1@4/255": QUARTER, "robust_top1@8/255": NOTHING}
    )  # fmt: skip
    found = plan.choose(measured)
    assert found["primary"] == {"adversarial Linf": "robust_top1@mean", "clean": "clean_top1"}
    assert found["means"] == {"robust_top1@mean": ["robust_top1@1/255", "robust_top1@2/255"]}
    assert found["left_out"] == {
        "robust_top1@4/255": "25% of 8 models are at the floor of 0",
        "robust_top1@8/255": "100% of 8 models are at the floor of 0",
    }


def test_one_epsilon_is_taken_as_it_is() -> None:
    found = plan.choose(table({"robust_top1@1/255": SPREAD, "robust_top1@4/255": NOTHING}))
    assert found["primary"] == {"adversarial Linf": "robust_top1@1/255"} and not found["means"]
    assert list(found["left_out"]) == ["robust_top1@4/255"]


def test_where_every_epsilon_is_at_its_floor_the_one_with_the_fewest_there_is_taken_and_it_is_said() -> None:
    found = plan.choose(table({"robust_top1@1/255": QUARTER, "robust_top1@4/255": NOTHING}))
    assert found["primary"] == {"adversarial Linf": "robust_top1@1/255"} and not found["means"]
    assert "has the fewest and is taken" in found["left_out"]["robust_top1@1/255"]
    assert "another has fewer" in found["left_out"]["robust_top1@4/255"]


def test_the_largest_epsilon_at_zero_for_every_model_is_no_primary_target(data_dir: Path) -> None:
    path = data_dir.parent / SHARED
    if not path.is_file():
        pytest.skip(f"no such case: {path}")
    found = plan.choose(read_own(path).table)
    assert found["primary"]["adversarial Linf"] == "robust_top1@0.5/255"
    assert found["left_out"]["robust_top1@4/255"].startswith("100% of 233 models")


def test_a_declared_floor_counts_for_the_accuracies_under_attack_of_its_source_only() -> None:
    low = [0.05, 0.06, 0.07, 0.08, 0.09, 0.5, 0.6, 0.7]
    measured = table(
        {"pgd_top1@0.5/255[a]": SPREAD, "pgd_top1@2/255[a]": low, "shift_top1@x[a]": low,
         "shift_top1@y[a]": SPREAD}
    )  # fmt: skip
    without = plan.choose(measured)
    assert without["means"]["pgd_top1@mean[a]"] == ["pgd_top1@0.5/255[a]", "pgd_top1@2/255[a]"]
    given = plan.choose(measured, PlanFile(floors={"a": 0.09}))
    assert given["primary"]["adversarial Linf"] == "pgd_top1@0.5/255[a]"
    assert given["left_out"] == {"pgd_top1@2/255[a]": "62% of 8 models are at the floor of 0.09"}
    assert given["means"] == {"shift_top1@mean[a]": ["shift_top1@x[a]", "shift_top1@y[a]"]}
    # of one target before that of its source
    one = PlanFile(floors={"a": 0.09, "pgd_top1@2/255[a]": 0.01})
    assert plan.choose(measured, one)["means"] == without["means"]


def test_norms_and_sources_are_never_averaged_together_and_the_studys_own_come_first() -> None:
    names = ("robust_top1@1/255", "robust_top1@2/255", "robust_top1@L2:0.1", "pgd_top1@1/255[a]",
             "pgd_top1@2/255[a]", "pgd_top1@L2:0.1[a]", "pgd_top1@L2:0.5[a]", "clean_top1[a]")  # fmt: skip
    found = plan.choose(table(dict.fromkeys(names, SPREAD)))
    assert found["primary"] == {
        "adversarial Linf": "robust_top1@mean",
        "adversarial L2": "robust_top1@L2:0.1",
        "clean": "clean_top1[a]",
    }
    assert found["means"]["pgd_top1@mean[a]"] == ["pgd_top1@1/255[a]", "pgd_top1@2/255[a]"]
    assert found["means"]["pgd_top1@L2:mean[a]"] == ["pgd_top1@L2:0.1[a]", "pgd_top1@L2:0.5[a]"]
    assert found["sensitivity"] == ["pgd_top1@mean[a]", "pgd_top1@L2:mean[a]"]


def test_of_two_published_sources_the_one_with_more_models_is_primary() -> None:
    found = plan.choose(
        table(
            {"shift_top1@r[big]": SPREAD, "shift_top1@r[able]": [*SPREAD[:7], None],
             "clean_top1[able]": SPREAD, "clean_top1@some-classes[able]": SPREAD}
        )
    )  # fmt: skip
    assert found["primary"] == {"shift": "shift_top1@r[big]", "clean": "clean_top1[able]"}
    assert found["sensitivity"] == ["shift_top1@r[able]"]


def test_a_setting_that_few_models_have_does_not_cost_the_mean_its_models() -> None:
    few = [0.1, 0.2, *[None] * 6]
    found = plan.choose(
        table({"robust_top1@1/255": SPREAD, "robust_top1@2/255": few, "robust_top1@0.5/255": SPREAD})
    )
    assert found["means"]["robust_top1@mean"] == ["robust_top1@0.5/255", "robust_top1@1/255"]
    assert found["left_out"] == {"robust_top1@2/255": "2 models have it, of another setting 8"}


def test_the_mean_over_corruptions_is_the_one_that_is_there_else_the_mean_of_shares() -> None:
    parts = {"corruption_top1@fog-1[a]": SPREAD, "corruption_top1@snow-1[a]": LITTLE}
    measured = table(parts)
    found = plan.choose(measured)
    assert found["primary"] == {"corruption": "corruption_top1@mean[a]"}
    mean = plan.with_means(measured, found).query("target == 'corruption_top1@mean[a]'")
    np.testing.assert_allclose(mean["value"], (np.array(SPREAD) + LITTLE) / 2)
    assert mean["low"].isna().all() and (mean["n"] == 1000).all()
    there = plan.choose(table(parts | {"corruption_top1@mean[a]": SPREAD}))
    assert there["primary"] == found["primary"] and not there["means"]


def test_weaker_measures_stand_in_only_where_there_is_no_better() -> None:
    measures = {"median_distance": SPREAD, "robust_given_correct@1/255": SPREAD, "robust_top5@1/255": SPREAD}
    for gone, left in (
        ("", "robust_top5@1/255"),
        ("robust_top5@1/255", "robust_given_correct@1/255"),
        ("robust_given_correct@1/255", "median_distance"),
    ):
        measures.pop(gone, None)
        assert plan.choose(table(measures))["primary"] == {"adversarial Linf": left}


def test_a_target_of_the_users_own_is_of_no_kind_and_never_primary() -> None:
    assert plan.choose(table({"my_measure": SPREAD}))["primary"] == {}


def test_a_plan_file_fixes_what_is_primary_and_names_what_stands_beside() -> None:
    measured = table({"robust_top1@1/255": SPREAD, "robust_top1@2/255": SPREAD, "clean_top1": SPREAD})
    given = PlanFile(primary={"adversarial Linf": "robust_top1@2/255"}, sensitivity=("robust_top1@1/255",))
    found = plan.choose(measured, given)
    assert found["primary"]["adversarial Linf"] == "robust_top1@2/255"
    assert found["sensitivity"] == ["robust_top1@1/255", "robust_top1@mean"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (PlanFile(primary={"shift": "robust_top1@1/255"}), "is a target of kind 'adversarial Linf'"),
        (PlanFile(primary={"clean": "clean_top"}), "no target 'clean_top' was .*nearest is 'clean_top1'"),
        (PlanFile(sensitivity=("robust_top1@3/255",)), "sensitivity: no target 'robust_top1@3/255'"),
        (PlanFile(floors={"testbde": 0.1}), "floors: 'testbde' is not in the robustness table"),
        (PlanFile(exclude={"m0": "broken"}), r"exclude: 'm0' is not in .*nearest: 'm0\d'"),
    ],
)  # fmt: skip
def test_what_a_plan_file_names_must_be_there(given: PlanFile, said: str) -> None:
    with pytest.raises(AlignsecError, match=f"plan file: .*{said}"):
        plan.choose(table({"robust_top1@1/255": SPREAD, "clean_top1": SPREAD}), given)


def test_excluded_models_have_no_say_in_the_choice() -> None:
    measured = table({"robust_top1@1/255": SPREAD, "robust_top1@2/255": QUARTER})
    assert plan.choose(measured)["means"] == {}
    assert plan.choose(measured, PlanFile(exclude={"m00": "broken"}))["means"]


def test_the_plan_is_the_same_bytes_whatever_the_order_of_rows(tmp_path: Path) -> None:
    measured = table(
        {"robust_top1@2/255": LITTLE, "robust_top1@1/255": SPREAD, "robust_top1@4/255": QUARTER,
         "pgd_top1@1/255[b]": SPREAD, "pgd_top1@1/255[a]": SPREAD, "clean_top1": SPREAD}
    )  # fmt: skip
    texts = set()
    for seed in range(5):
        write_json(tmp_path / "plan.json", plan.choose(measured.sample(frac=1, random_state=seed)))
        texts.add((tmp_path / "plan.json").read_bytes())
    assert len(texts) == 1
    assert read_plan(tmp_path / "plan.json") == json.loads(texts.pop())


def test_a_file_that_is_no_plan_is_told(tmp_path: Path) -> None:
    write_json(tmp_path / "plan.json", {"margin": 0.3})
    with pytest.raises(AlignsecError, match=r"no plan, 'adversarially_trained' is missing"):
        read_plan(tmp_path / "plan.json")


def test_the_mean_is_that_of_corrected_logits_written_out() -> None:
    measured = table({"robust_top1@1/255": SPREAD, "robust_top1@2/255": LITTLE}, n=200)
    found = plan.with_means(measured, plan.choose(measured))
    pd.testing.assert_frame_equal(found.iloc[: len(measured)], measured)
    means = found.iloc[len(measured) :]
    for (_, row), a, b in zip(means.iterrows(), SPREAD, LITTLE, strict=True):
        logits = [np.log((200 * v + 0.5) / (200 - 200 * v + 0.5)) for v in (a, b)]
        assert row["value"] == pytest.approx(1 / (1 + np.exp(-np.mean(logits))), abs=1e-12)
        assert row["n"] == 200 and row["low"] < row["value"] < row["high"]


def test_a_model_without_one_of_the_parts_has_no_mean() -> None:
    measured = table({"robust_top1@1/255": SPREAD, "robust_top1@2/255": [*SPREAD[:7], None]})
    found = plan.with_means(measured, plan.choose(measured))
    assert set(found.loc[found["target"] == "robust_top1@mean", "model"]) == {f"m{i:02d}" for i in range(7)}


def test_without_a_number_of_images_there_is_a_mean_and_no_interval() -> None:
    measured = table({"robust_top1@1/255": SPREAD, "robust_top1@2/255": LITTLE}, n=None)
    rows = plan.with_means(measured, plan.choose(measured)).query("target == 'robust_top1@mean'")
    assert rows["value"].between(0, 1, inclusive="neither").all()
    assert rows[["low", "high", "n"]].isna().all(axis=None)


@pytest.mark.parametrize("nested", [True, False])
def test_the_interval_covers_the_mean_that_many_images_would_give(nested: bool) -> None:
    """Robust at the larger epsilon only where at the smaller; shifted sets of images of their own."""
    rng, n, truth = np.random.default_rng(0), 300, np.array([0.6, 0.25])
    target = "robust_top1@{}/255" if nested else "shift_top1@{}"
    draws = rng.random((1000, n))
    first = (draws < truth[0]).mean(1)
    second = ((draws if nested else rng.random((1000, n))) < truth[1]).mean(1)
    measured = pd.DataFrame(
        [(f"m{i}", target.format(k), v, None, None, n) for k, column in ((1, first), (2, second))
         for i, v in enumerate(column)], columns=["model", "target", "value", "low", "high", "n"]
    )  # fmt: skip
    rows = plan.with_means(measured, plan.choose(measured)).iloc[2000:]
    expected = 1 / (1 + np.exp(-np.log(truth / (1 - truth)).mean()))
    assert 0.93 < ((rows["low"] < expected) & (expected < rows["high"])).mean() < 0.97


def test_choosing_reads_no_alignment() -> None:
    """No argument of the choice could hold a score."""
    import inspect

    assert list(inspect.signature(plan.choose).parameters) == ["robustness", "given"]
    held: dict[str, Any] = dict(plan.choose(table({"robust_top1@1/255": SPREAD})))
    assert "rho" not in json.dumps(held)
