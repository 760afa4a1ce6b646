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
    # no hit among 32 where Brain-Score has .7, which has a probability of .32^32
    assert rows.loc["b", "flags"] == "at chance; duplicate weights; below expected"
    assert rows.loc["f", "flags"] == ""
    assert rows.loc["a", "mean"] == "0.5 0.5 0.5"
    # 24 of 32 where the leaderboard has .1
    assert account.table(SHEET, REPORTS, {"a": 0.1}).loc[0, "flags"] == "duplicate weights; accuracy gap"


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
