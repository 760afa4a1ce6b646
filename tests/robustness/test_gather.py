"""Clean accuracy of more images than were attacked."""

from typing import Any, cast

import pandas as pd
import pytest

from alignsec.robustness.gather import with_sample
from alignsec.robustness.summarise import COLUMNS, share_row
from alignsec.study.records import Report


def report(clean_top1: float | None, clean_n: int | None) -> Report:
    return cast(Report, {"clean_top1": clean_top1, "clean_n": clean_n})


def test_clean_accuracy_is_of_the_larger_of_the_sample_and_the_attacked_images() -> None:
    rows: list[dict[str, Any]] = []
    for model in ("more", "fewer", "none"):
        rows += [share_row(model, "clean_top1", 40, 64), share_row(model, "robust_top1@1/255", 9, 64)]
    table = pd.DataFrame(rows, columns=COLUMNS)
    # preflight keeps four digits: 0.6767 of 1,500 is 1,015 images
    reports = {"more": report(0.6767, 1500), "fewer": report(0.5, 32), "none": report(None, None)}
    found = with_sample(table, reports)
    row = found.iloc[0]
    wanted = share_row("more", "clean_top1", 1015, 1500)
    assert (row["value"], row["n"]) == (1015 / 1500, 1500)
    assert (row["low"], row["high"]) == pytest.approx((wanted["low"], wanted["high"]))
    pd.testing.assert_frame_equal(found.iloc[1:], table.iloc[1:])
