"""What became of every model, counted."""

from pathlib import Path

import pandas as pd
import pytest

from alignsec.ground.errors import AlignsecError
from alignsec.ground.names import encode
from alignsec.study import sheet
from alignsec.study.layout import Models
from alignsec.study.records import MEASURED, write_json
from alignsec.zoo import account


def report(model: str, reason: str = "", **more: object) -> dict[str, object]:
    from alignsec.ground.reasons import Excluded, kind_of

    transient = bool(reason) and Excluded(reason).transient
    base = {"model": model, "source": "brainscore", "status": "excluded" if reason else "ok",
            "reason": reason, "kind": kind_of(reason) if reason else "", "transient": transient, "flags": [],
            "reached": "started" if reason else "gradient", **dict.fromkeys(MEASURED)}  # fmt: skip
    return base | more


REPORTS = {
    "a": report("a", weights_sha256="1", clean_top1=0.75, clean_n=32, mean=[0.5, 0.5, 0.5]),
    "b": report("b", weights_sha256="1", clean_top1=0.0, clean_n=32, flags=["at chance"]),
    "c": report("c", "missing package: json, no_such_package"),
    "d": report("d", "missing package: json"),
    "e": report("e", "weights unavailable: no connection to x", reached="imported"),
    "f": report("f", "head of 21843", reached="forward", weights_sha256="2"),
}
SHEET = pd.DataFrame([[m, "brainscore", m, "fam", ""] for m in REPORTS], columns=sheet.COLUMNS)


def test_one_row_per_model_with_duplicates_and_gaps() -> None:
    rows = account.table(SHEET, REPORTS, {"a": 0.76, "b": 0.7, "f": 0.8}).set_index("model")
    assert rows.loc["a", "flags"] == "duplicate weights"
    assert rows.loc["a", "duplicates"] == "b"
    # no hit among 32 where Brain-Score has .7: Wilson's 99 % interval ends at .17
    assert rows.loc["b", "flags"] == "at chance; duplicate weights; accuracy gap"
    assert rows.loc["f", "flags"] == ""
    assert rows.loc["a", "mean"] == "0.5 0.5 0.5"


def test_reasons_are_counted() -> None:
    counted = account.counts(account.table(SHEET, REPORTS, {}))
    assert counted["models"][counted["status"] != "flagged"].sum() == 6
    kinds = counted.set_index(["status", "kind"])
    assert kinds.loc[("ok", ""), ["models", "forward"]].tolist() == [2, 2]
    assert kinds.loc[("excluded", "missing package"), ["models", "forward", "transient"]].tolist() == [
        2,
        0,
        False,
    ]
    assert kinds.loc[("excluded", "head of N"), ["models", "forward"]].tolist() == [1, 1]
    assert kinds.loc[("excluded", "weights unavailable"), "transient"]
    assert kinds.loc[("flagged", "duplicate weights"), "models"] == 2


def test_a_model_without_a_report_is_named(tmp_path: Path) -> None:
    write_json(Models(tmp_path).preflight("a"), REPORTS["a"])
    with pytest.raises(AlignsecError, match=rf"{encode('e')}/preflight.json: no preflight report of 'e'"):
        account.account(SHEET[SHEET["model"].isin(["a", "e"])], tmp_path)


def test_the_cost_of_a_study_by_hand() -> None:
    from alignsec.attack import estimate

    reports = {
        "all right": report("all right", forward_seconds=0.01, gradient_seconds=0.03, clean_top1=1.0,
                            deterministic=True, parameters=5),
        "all wrong": report("all wrong", forward_seconds=0.01, gradient_seconds=0.03, clean_top1=0.0,
                            deterministic=True, parameters=5),
        "noisy": report("noisy", forward_seconds=0.01, gradient_seconds=0.03, deterministic=False,
                        parameters=5),
        "unmeasured": report("unmeasured", deterministic=True, parameters=5),
        "out": report("out", "head of 7"),
    }  # fmt: skip
    rows = pd.DataFrame({"model": list(reports)})
    speed = estimate.Speed(10.0, 3.0, "a device")  # 0.001 s a forward pass, 0.01 s a gradient
    found = estimate.table(rows, reports, speed, epsilons=3, count=3600, per_shard=1800, limit=10.0)
    found = found.set_index("model")
    assert list(found.index) == ["all right", "all wrong", "noisy", "unmeasured"]
    # 60 gradients of the screen; 1,910 gradients and 5,000 forward passes of one failed AutoAttack
    assert found.loc["all right", "hours_low"] == pytest.approx(0.001 + 0.6)
    assert found.loc["all right", "hours_high"] == pytest.approx(0.001 + 0.6 + 19.1 + 5.0)
    assert found.loc["all right", "job_hours_high"] == pytest.approx(24.701 / 2)
    assert found.loc["all right", "images_per_shard"] == int(36000 / 24.701)
    assert "set attack.images_per_shard to 1457" in found.loc["all right", "note"]
    assert found.loc["all wrong", ["hours_low", "hours_high"]].tolist() == pytest.approx([0.001, 0.001])
    assert found.loc["noisy", "hours_high"] == pytest.approx(0.001 + 0.6 + 40.0)
    assert pd.isna(found.loc["unmeasured", "hours_high"])
    said = estimate.text(found.reset_index(), speed, 5)
    assert "4 of 5 models can be attacked; 3 of them have a measured speed" in said
    assert "a device (10 times" in said
