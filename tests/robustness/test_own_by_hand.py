"""A robustness table of the user's own, by hand counts."""

from pathlib import Path

import pandas as pd
import pytest

from alignsec.ground.errors import AlignsecError
from alignsec.robustness.own import read_own
from tests.robustness.test_summarise_by_hand import EPSILONS, values, wilson


def own(tmp_path: Path, text: str) -> pd.DataFrame:
    (tmp_path / "own.csv").write_text(text)
    return read_own(tmp_path / "own.csv").table


def test_a_share_of_n_images_has_wilsons_interval_and_keeps_its_value(tmp_path: Path) -> None:
    # .333 of 9 is 3 images; the value stays as it was given
    table = own(
        tmp_path, "model,target,value,n\nm,robust_top1@e,0.333,9\nm,clean_top1,,9\nk,clean_top1,0.5,\n"
    )
    first = table.iloc[0]
    assert (first["low"], first["high"]) == pytest.approx(wilson(3, 9))
    assert (first["value"], first["n"]) == (0.333, 9)
    assert table["model"].tolist() == ["m", "k"]
    # no number of images, no interval
    assert table.iloc[1:][["low", "high", "n"]].isna().all(axis=None)
    assert table.iloc[1]["value"] == 0.5


def test_a_number_of_images_may_be_written_as_a_float_and_one_is_enough(tmp_path: Path) -> None:
    table = own(tmp_path, "model,target,value,n\nm,a_share,1,1\nm,another,0,5000.0\nm,third,0.5,\n")
    assert table["n"].tolist()[:2] == [1, 5000] and pd.isna(table["n"].iloc[2])
    assert (table.iloc[0]["low"], table.iloc[0]["high"]) == pytest.approx(wilson(1, 1))


def test_a_table_without_n_has_no_intervals_and_its_robust_of_correct_neither(tmp_path: Path) -> None:
    table = own(tmp_path, "model,target,value\nm,clean_top1,1\nm,robust_top1@e,0\nm,median_distance,2.5\n")
    assert table["target"].tolist() == [
        "clean_top1",
        "robust_top1@e",
        "median_distance",
        "robust_given_correct@e",
    ]
    assert table["value"].tolist() == [1, 0, 2.5, 0]
    assert table[["low", "high", "n"]].isna().all(axis=None)


def test_a_distance_keeps_its_number_of_images(tmp_path: Path) -> None:
    table = own(tmp_path, "model,target,value,n\nm,median_distance@L2,1.5,40\n")
    assert table.iloc[0]["n"] == 40 and pd.isna(table.iloc[0]["low"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model,target,value\nm,t,0.5\nm,u,1.0001\n", r"own\.csv:3: value '1\.0001' of 'm', 'u'"),
        ("model,target,value\nm,t,-0.0001\n", r"own\.csv:2: value '-0\.0001'"),
        ("model,target,value\nm,median_distance,-1\n", r"own\.csv:2: value '-1'"),
        ("model,target,value\nm,t,0.5\nm,u,half\n", r"own\.csv:3: column 'value': 'half' is no number"),
        ("model,target,value\nm,t,0.5\nn,t,0.5\nm,t,0.6\n", r"own\.csv:4: 'm', 't' occurs twice"),
        ("model,target,value\nm,t,0.5\nm,t,0.5\nm,t,0.6\n", r"own\.csv:3: 'm', 't' occurs twice"),
        ("model,value\nm,1\n", "column 'target' is missing; the columns are model, value"),
        ("model,target,value\nm,t,\n", "the table has no value"),
        ("", "the file is empty"),
    ],
)
def test_a_bad_table_says_on_which_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(AlignsecError, match=message):
        own(tmp_path, text)


def test_a_table_that_is_not_there_says_which_key_to_set(tmp_path: Path) -> None:
    with pytest.raises(AlignsecError, match=r"none\.csv: no such robustness table: set robustness\.source"):
        read_own(tmp_path / "none.csv")


HEADER = (
    "Model Name,Threat Model,Epsilon,Top-1 Accuracy,Top-5 Accuracy,"
    "Top-1 Subset Clean Accuracy,Top-5 Subset Clean Accuracy\n"
)


def test_the_papers_table_becomes_targets_and_its_clean_accuracy_counts_once(tmp_path: Path) -> None:
    table = own(
        tmp_path,
        HEADER
        + "m,Linf, 1/255 ,0.4,0.6,0.8,0.9\nm,L2,0.5,0.2,,0.8,0.9\n"
        + "n,l_inf,1/255,0.1,0.3,0.5,\nk,L∞,1/255,0,,,\n",
    )
    assert values(table, "m") == pytest.approx(
        {
            "robust_top1@1/255": 0.4,
            "robust_top5@1/255": 0.6,
            "clean_top1": 0.8,
            "clean_top5": 0.9,
            "robust_top1@L2:0.5": 0.2,
            "robust_given_correct@1/255": 0.5,
            "robust_given_correct@L2:0.5": 0.25,
        }
    )
    assert len(table[table["model"] == "m"]) == 7
    assert values(table, "n") == pytest.approx(
        {
            "robust_top1@1/255": 0.1,
            "robust_top5@1/255": 0.3,
            "clean_top1": 0.5,
            "robust_given_correct@1/255": 0.2,
        }
    )
    assert values(table, "k") == {"robust_top1@1/255": 0}


def test_the_papers_table_may_be_sorted_by_epsilon(tmp_path: Path) -> None:
    # a model's lines are then as far apart as there are models
    lines = "".join(f"m{i},Linf,{e},0.1,0.2,0.8,0.9\n" for e in EPSILONS for i in range(60))
    table = own(tmp_path, HEADER + lines)
    assert (table["target"] == "clean_top1").sum() == (table["target"] == "clean_top5").sum() == 60


def test_a_clean_accuracy_on_a_later_line_is_taken_beside_one_that_is_repeated(tmp_path: Path) -> None:
    table = own(tmp_path, HEADER + "m,Linf,1/255,0.4,,0.8,\nm,Linf,2/255,0.3,,0.8,0.9\n")
    assert values(table)["clean_top5"] == 0.9
    assert (table["target"] == "clean_top1").sum() == 1


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            "m,Linf,1/255,0.4,,0.8,\nm,Linf,2/255,0.4,,0.7,\n",
            r"own\.csv:3: column 'Top-1 Subset Clean Accuracy' of 'm' is 0\.7, on line 2 it is 0\.8",
        ),
        (
            "m,Linf,1/255,0.4,,0.8,\nm,Linf,2/255,40,,0.8,\n",
            r"own\.csv:3: value '40' of 'm', 'robust_top1@2/255'",
        ),
        (
            "m,Linf,1/255,0.4,,0.8,\nm,Linf,1/255,0.3,,0.8,\n",
            r"own\.csv:3: 'm', 'robust_top1@1/255' occurs twice",
        ),
    ],
)
def test_a_contradiction_in_the_papers_table_is_named_with_its_line(
    tmp_path: Path, rows: str, message: str
) -> None:
    with pytest.raises(AlignsecError, match=message):
        own(tmp_path, HEADER + rows)


def test_own_tables_may_hold_distances_and_no_share_above_one(tmp_path: Path) -> None:
    own = tmp_path / "own.csv"
    own.write_text("model,target,value,n\na,robust_top1@L2:0.5,0.4,50\na,median_distance@L2,1.7,50\n")
    table = read_own(own).table.set_index("target")
    assert table.loc["median_distance@L2", "value"] == 1.7
    assert pd.isna(table.loc["median_distance@L2", "low"])
    assert table.loc["robust_top1@L2:0.5", "low"] < 0.4
    own.write_text("model,target,value\na,robust_top1@L2:0.5,1.7\n")
    with pytest.raises(AlignsecError, match=r"own\.csv:2: value '1\.7'"):
        read_own(own)


def test_a_distance_is_no_percentage(tmp_path: Path) -> None:
    with pytest.raises(AlignsecError, match="is a percentage where a distance is expected"):
        own(tmp_path, "model,target,value\nm,median_distance,5%\n")
