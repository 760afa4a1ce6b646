"""From verdicts to the robustness table, on tables small enough to be counted by hand.

Wilson's bounds are those of the formula written out below (Wilson 1927, eq. 4), those of medians are order
statistics by the binomial distribution (the numbers of tables of the sign test).
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from alignsec.ground import tables
from alignsec.ground.errors import AlignsecError
from alignsec.ground.schemas import SCHEMAS
from alignsec.robustness import summarise
from alignsec.robustness.gather import gather
from alignsec.study import records
from alignsec.study.layout import Models
from alignsec.study.targets import median_name, target_name

Z = 1.959963984540054  # the normal's 97.5 % point
EPSILONS = ["1/255", "2/255"]


def wilson(hits: int, n: int) -> tuple[float, float]:
    p, half = hits / n, Z * np.sqrt(hits * (n - hits) / n**3 + Z**2 / (4 * n**2))
    return (p + Z**2 / (2 * n) - half) / (1 + Z**2 / n), (p + Z**2 / (2 * n) + half) / (1 + Z**2 / n)


def attack(
    model: str, distance: list[float | None], top5: list[bool] | None = None, **more: Any
) -> pd.DataFrame:
    """One image per distance (None: none known, so robust everywhere; 0: misclassified), two epsilons."""
    rows = []
    for text in EPSILONS:
        e = int(text[0]) / 255
        for i, d in enumerate(distance):
            rows.append(
                {
                    "model": model, "image": f"i{i}", "label": 0, "epsilon": e, "correct": d != 0,
                    "correct_top5": d != 0 or i == 0, "robust": d is None or d > e,
                    "top5": None if top5 is None else top5[i], "stage": "",
                    "distance": None if d == 0 else d, **more,
                }
            )  # fmt: skip
    # the types that the tables on disk have
    return pd.DataFrame(rows).astype({"distance": float, "top5": "boolean"}) if rows else pd.DataFrame()


def ok(model: str, **more: Any) -> dict[str, Any]:
    return {"model": model, "step": "attack", "status": "ok", "reason": "", **more}


def out(model: str, step: str, reason: str = "no classifier") -> dict[str, Any]:
    return {"model": model, "step": step, "status": "excluded", "reason": reason}


def corruptions(model: str, hits: dict[tuple[str, int], list[bool]]) -> pd.DataFrame:
    rows = [
        {"model": model, "image": f"i{i}", "corruption": c, "severity": s, "correct": hit, "top5": True}
        for (c, s), row in hits.items()
        for i, hit in enumerate(row)
    ]
    return pd.DataFrame(rows, columns=["model", "image", "corruption", "severity", "correct", "top5"])


def values(table: pd.DataFrame, model: str = "m") -> dict[str, float]:
    part = table[table["model"] == model]
    return dict(zip(part["target"], part["value"], strict=True))


def row(table: pd.DataFrame, target: str, model: str = "m") -> pd.Series:
    return table[(table["model"] == model) & (table["target"] == target)].iloc[0]


# ---- the median and its interval
# -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "low", "high"),
    [
        (1, 1, 1),
        (5, 1, 5),  # both ends are 93.75 %: there is no better
        (6, 1, 6),  # 96.9 %
        (9, 2, 8),  # 96.1 %
        (10, 2, 9),  # 97.9 %
        (20, 6, 15),  # 95.9 %
        (100, 40, 61),  # 96.5 %; R: qbinom(.025, 100, .5) is 40
    ],
)
def test_the_medians_interval_is_that_of_the_sign_test(n: int, low: int, high: int) -> None:
    ranks = np.random.default_rng(0).permutation(np.arange(1.0, n + 1))
    found = summarise._median("m", "t", ranks)
    assert (found["low"], found["high"]) == (low, high)
    assert (found["model"], found["target"], found["value"], found["n"]) == ("m", "t", (n + 1) / 2, n)


def test_the_medians_interval_holds_the_median_of_19_draws_in_20() -> None:
    # the exact coverage of (X6, X15) of twenty is 95.86 % (R: diff(pbinom(c(5, 14), 20, .5)))
    draws = np.random.default_rng(1).normal(size=(2000, 20))
    found = [summarise._median("m", "t", d) for d in draws]
    assert np.mean([f["low"] < 0 < f["high"] for f in found]) == pytest.approx(0.9586, abs=0.015)


# ---- targets
# -------------------------------------------------------------------------------------------------


def test_only_a_norm_other_than_linf_is_in_a_name() -> None:
    assert target_name("1/255", "Linf") == "robust_top1@1/255"
    assert target_name("0.5", "L2", top=5) == "robust_top5@L2:0.5"
    assert median_name("Linf") == "median_distance"
    # a norm read from a file is equal to the literal and not the same object
    read = "".join(("L", "inf"))
    assert target_name("1/255", read) == "robust_top1@1/255"
    assert median_name(read) == "median_distance"
    assert median_name("L2") == "median_distance@L2"


def test_every_value_of_an_attack_is_counted() -> None:
    # five images: misclassified; broken at 1/255; at 2/255; beyond both; never
    distance = [0, 0.5 / 255, 1.5 / 255, 3 / 255, None]
    table, excluded = summarise.summarise(
        [attack("m", distance, top5=[True, False, True, True, True])], [ok("m")], [], EPSILONS, "Linf"
    )
    assert values(table) == pytest.approx(
        {
            "clean_top1": 4 / 5,
            "clean_top5": 5 / 5,
            "robust_top1@1/255": 3 / 5,
            "robust_top5@1/255": 4 / 5,
            "robust_top1@2/255": 2 / 5,
            "robust_top5@2/255": 4 / 5,
            # 0, .5, 1.5, and 2 twice: nothing is known beyond the largest epsilon
            "median_distance": 1.5 / 255,
            "robust_given_correct@1/255": 3 / 4,
            "robust_given_correct@2/255": 2 / 4,
        }
    )
    assert (row(table, "median_distance")["low"], row(table, "median_distance")["high"]) == (0, 2 / 255)
    for target, hits, n in (
        ("clean_top1", 4, 5),
        ("robust_top5@2/255", 4, 5),
        ("robust_given_correct@1/255", 3, 4),
    ):
        found = row(table, target)
        assert (found["low"], found["high"]) == pytest.approx(wilson(hits, n))
        assert found["n"] == n
    assert list(table.columns) == ["model", "target", "value", "low", "high", "n"]
    assert excluded.empty and list(excluded.columns) == ["model", "step", "reason"]


def test_without_top5_under_attack_there_is_no_such_target() -> None:
    some = attack("m", [None, 0.001])
    some.loc[0, "top5"] = True  # of one image only
    table, _ = summarise.summarise([some], [ok("m")], [], EPSILONS, "L2")
    assert [t for t in values(table) if "top5" in t] == ["clean_top5"]
    assert {"robust_top1@L2:1/255", "median_distance@L2"} <= set(values(table))


def test_shards_of_one_model_are_one_model_and_models_are_sorted() -> None:
    shard = attack("m", [0.001]).assign(image="other")
    table, _ = summarise.summarise(
        [attack("n", [None]), attack("m", [None, 0]), attack("x", []), shard],
        [ok("m"), ok("n")],
        [],
        EPSILONS,
        "Linf",
    )
    assert list(dict.fromkeys(table["model"])) == ["m", "n"]
    assert row(table, "clean_top1")["n"] == 3
    assert values(table)["clean_top1"] == pytest.approx(2 / 3)


def test_shards_with_top5_count_each_image_once() -> None:
    # both shards number their rows from 0
    shard = attack("m", [0.001, None], top5=[False, True]).assign(image=["a", "b"] * 2)
    table, _ = summarise.summarise([attack("m", [None], top5=[True]), shard], [ok("m")], [], EPSILONS, "Linf")
    assert values(table)["robust_top5@1/255"] == pytest.approx(2 / 3)
    assert row(table, "robust_top5@1/255")["n"] == 3


def test_a_missing_verdict_is_refused_with_its_model_and_epsilon() -> None:
    lacking = attack("m", [None, None]).iloc[:-1]
    with pytest.raises(AlignsecError, match="model 'm': 1 verdicts at epsilon 2/255 for 2 images"):
        summarise.summarise([lacking], [ok("m")], [], EPSILONS, "Linf")


# ---- exclusions
# ----------------------------------------------------------------------------------------------


def test_a_model_excluded_from_corruptions_alone_keeps_its_attack() -> None:
    table, excluded = summarise.summarise(
        [attack("m", [None]), attack("n", [None])],
        [ok("m"), ok("n"), out("m", "corruptions")],
        [],
        EPSILONS,
        "Linf",
    )
    assert values(table, "m") == values(table, "n")
    assert values(table, "m")["robust_top1@2/255"] == 1
    assert excluded.to_numpy().tolist() == [["m", "corruptions", "no classifier"]]


def test_a_model_excluded_from_any_other_step_has_no_attack_rows() -> None:
    statuses = [
        ok("n"),
        out("m", "attack", "autograd error"),
        out("m", "attack", "autograd error"),
        out("k", "preflight"),
    ]
    table, excluded = summarise.summarise(
        [attack("m", [None]), attack("n", [None]), attack("k", [None])], statuses, [], EPSILONS, "Linf"
    )
    assert set(table["model"]) == {"n"}
    # sorted, each once
    assert excluded.to_numpy().tolist() == [
        ["k", "preflight", "no classifier"],
        ["m", "attack", "autograd error"],
    ]


@pytest.mark.parametrize("attacks", [[], [attack("m", [])], [attack("m", [None])]])
def test_where_every_model_is_excluded_the_first_five_say_why(attacks: list[pd.DataFrame]) -> None:
    statuses = [out(m, "attack", f"why {m}") for m in "mnopqr"]
    with pytest.raises(AlignsecError, match=r"\(m: why m; n: why n; o: why o; p: why p; q: why q\)"):
        summarise.summarise(attacks, statuses, [], EPSILONS, "Linf")


# ---- corruptions
# ---------------------------------------------------------------------------------------------


def test_corruptions_have_an_accuracy_each_and_their_mean_has_no_interval() -> None:
    made = corruptions(
        "m", {("fog", 1): [True, True, True, False], ("fog", 3): [True, False], ("blur", 1): [False] * 4}
    )
    table, _ = summarise.summarise(
        [attack("m", [None])], [ok("m")], [corruptions("k", {}), made], EPSILONS, "Linf"
    )
    found = {t: v for t, v in values(table).items() if t.startswith("corruption")}
    # of the three accuracies, not of the ten images: (3/4 + 1/2 + 0) / 3
    assert found == pytest.approx(
        {
            "corruption_top1@blur-1": 0,
            "corruption_top1@fog-1": 0.75,
            "corruption_top1@fog-3": 0.5,
            "corruption_top1@mean": 1.25 / 3,
        }
    )
    mean = row(table, "corruption_top1@mean")
    assert pd.isna(mean["low"]) and pd.isna(mean["high"]) and mean["n"] == 4
    one = row(table, "corruption_top1@fog-1")
    assert (one["low"], one["high"], one["n"]) == (*(pytest.approx(v) for v in wilson(3, 4)), 4)


# ---- robust of correct
# ---------------------------------------------------------------------------------------


def given(*rows: tuple[str, float, float | None]) -> dict[str, tuple[float, float | None]]:
    frame = pd.DataFrame([("m", t, v, None, None, n) for t, v, n in rows], columns=summarise.COLUMNS)
    made = summarise.with_conditional(frame)
    assert len(made) >= len(frame)
    new = made.iloc[len(frame) :]
    return {
        t: (v, None if pd.isna(n) else n)
        for t, v, n in zip(new["target"], new["value"], new["n"], strict=True)
    }


def test_robust_of_correct_is_a_ratio_of_counts_of_the_same_images() -> None:
    assert given(("clean_top1", 0.8, 10), ("robust_top1@1/255", 0.2, 10)) == {
        "robust_given_correct@1/255": (0.25, 8)
    }
    # the counts are whole: 8.1 is 8 images and 2.4 are 2
    assert given(("clean_top1", 0.81, 10), ("robust_top1@e", 0.24, 10)) == {
        "robust_given_correct@e": (0.25, 8)
    }


@pytest.mark.parametrize(
    ("clean", "robust", "found"),
    [
        ((0.8, 10), (0.8, 10), 1.0),  # as robust as correct is possible
        ((0.8, 10), (0.81, 10), None),  # more is not: other images
        ((0.8, 10), (0.2, 20), None),
        ((0.8, 10), (0.2, None), None),
        ((0.8, None), (0.2, 10), None),
        ((0.8, None), (0.2, None), 0.25),
        ((0.0, 10), (0.0, 10), None),
        ((0.0, None), (0.0, None), None),
        ((0.04, 10), (0.0, 10), None),  # rounds to no image
        ((None, 10), (0.2, 10), None),
        ((0.8, 10), (None, 10), None),
        ((0.8, 10), (0.0, 10), 0.0),
        ((1.0, 1), (1.0, 1), 1.0),
    ],
)
def test_robust_of_correct_exists_where_both_were_measured_on_the_same_images(
    clean: tuple[Any, Any], robust: tuple[Any, Any], found: float | None
) -> None:
    made = given(("clean_top1", *clean), ("robust_top1@e", *robust))
    assert {t: v for t, (v, _) in made.items()} == (
        {} if found is None else {"robust_given_correct@e": found}
    )


def test_no_row_is_made_of_other_targets_or_models() -> None:
    assert given(("clean_top1", 0.8, 10), ("robust_top5@e", 0.2, 10), ("clean_top5", 0.9, 10)) == {}
    frame = pd.DataFrame(
        [("n", "clean_top1", 0.8, None, None, 10), ("m", "robust_top1@e", 0.2, None, None, 10)],
        columns=summarise.COLUMNS,
    )
    assert summarise.with_conditional(frame) is frame
    # one that cannot be compared does not end the others
    assert given(("robust_top1@a", None, 10), ("robust_top1@b", 0.4, 10), ("clean_top1", 0.8, 10)) == {
        "robust_given_correct@b": (0.5, 8)
    }


def test_a_model_that_is_always_wrong_does_not_end_the_others() -> None:
    rows = [
        ("bad", "clean_top1", 0.0),
        ("m", "clean_top1", 0.8),
        ("bad", "robust_top1@e", 0.0),
        ("m", "robust_top1@e", 0.4),
    ]
    frame = pd.DataFrame([(*r, None, None, 10) for r in rows], columns=summarise.COLUMNS)
    last = summarise.with_conditional(frame).iloc[4:]
    assert last[["model", "target", "value"]].to_numpy().tolist() == [["m", "robust_given_correct@e", 0.5]]


def test_a_ratio_of_unknown_counts_has_no_interval() -> None:
    frame = pd.DataFrame(
        [("m", "clean_top1", 0.8, None, None, None), ("m", "robust_top1@e", 0.2, None, None, None)],
        columns=summarise.COLUMNS,
    )
    last = summarise.with_conditional(frame).iloc[-1]
    assert last[["low", "high", "n"]].isna().all()
    assert last["value"] == pytest.approx(0.25)


# ---- doubts
# --------------------------------------------------------------------------------------------------


def test_counts_of_shards_add_up_and_of_shares_the_largest_is_taken() -> None:
    shards = [
        ok("m", warnings={"not_monotone": 2, "zero_gradients": 0.5, "square_after_white_box": 1}),
        ok("m", warnings={"not_monotone": 3, "zero_gradients": 0.25, "square_after_white_box": 4}),
        ok("m", warnings={"softmax_output": True}),
        ok("a", spread={"0.1": 0.01, "0.2": 0.03}),
        ok("a", spread={"0.1": 0.02}, warnings={}),
        ok("quiet", spread={}),
    ]
    told = summarise.doubts(shards)
    assert told[["model", "warning", "value"]].to_numpy().tolist() == [
        ["a", "stochastic", 0.03],
        ["m", "not_monotone", 5],
        ["m", "softmax_output", 1],
        ["m", "square_after_white_box", 5],
        ["m", "zero_gradients", 0.5],
    ]
    assert told["meaning"].str.len().min() > 10
    assert list(summarise.doubts([]).columns) == ["model", "warning", "value", "meaning"]


def test_what_is_told_of_a_status_leaves_it_as_it_was() -> None:
    status = ok("m", warnings={"not_monotone": 1}, spread={"0.1": 0.01})
    summarise.doubts([status])
    assert status["warnings"] == {"not_monotone": 1}


def test_median_distance_by_hand() -> None:
    rows = [
        {"model": "m", "image": str(i), "label": 0, "epsilon": e, "correct": i > 0, "correct_top5": True,
         "robust": d > e and i > 0, "top5": None, "stage": "", "distance": d if d < 9 else None}
        for e in (0.1, 0.2)
        for i, d in enumerate([0.05, 0.08, 0.15, 9.0, 0.3])
    ]  # fmt: skip
    status = [{"model": "m", "step": "attack", "status": "ok", "reason": "", "warnings": {"not_monotone": 2}}]
    table, _ = summarise.summarise([pd.DataFrame(rows)], status, [], ["0.1", "0.2"], "Linf")
    # misclassified 0, then .08, .15, and two censored at .2
    assert table.set_index("target").loc["median_distance", ["value", "low", "high"]].tolist() == [
        0.15,
        0,
        0.2,
    ]
    told = summarise.doubts(status * 2)
    assert told[["model", "warning", "value"]].to_numpy().tolist() == [["m", "not_monotone", 4]]


@pytest.mark.parametrize(
    ("asked", "expected"), [(None, {"thousand", "unknown"}), ([True], {"ten", "thousand", "unknown"})]
)
def test_top5_of_ten_classes_is_no_target_unless_asked_for(
    tmp_path: Path, asked: list[bool] | None, expected: set[str]
) -> None:
    classes = {"ten": 10, "thousand": 1000, "unknown": None}
    files = Models(tmp_path)
    for model, count in classes.items():
        tables.write(
            attack(model, [0.001], top5=asked)[list(SCHEMAS["attack"])],
            files.attack(model, "0000"),
            "attack",
        )
        records.write_status(files.attack_status(model, "0000"), model, "attack", None)
        report = {"status": "ok", "classes": count, "source": "demo", "spec": "", "flags": []}
        records.write_json(files.preflight(model), report)
    table = gather(list(classes), tmp_path, ["0000"], EPSILONS).table
    assert set(table.loc[table["target"] == "clean_top5", "model"]) == expected
    assert set(table.loc[table["target"] == "clean_top1", "model"]) == set(classes)
    assert table.index.tolist() == list(range(len(table)))
