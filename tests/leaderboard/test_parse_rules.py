"""The leaderboard's rules at their borders: one case just inside and one just outside of each.

Expected values are hand calculations on the tables written out here, and Brain-Score's rule that a
benchmark's score is the mean of its children's, a missing one counted as 0.
"""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from alignsec.ground.errors import AlignsecError
from alignsec.leaderboard import export
from alignsec.leaderboard.tree import derive_parents, display_name, tree_order

NAN = float("nan")


def parse(tmp_path: Path, text: str | bytes, name: str = "l.csv") -> export.Parsed:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return export.parse(path)


def parents(**columns: list[float]) -> dict[str, str]:
    return derive_parents(list(columns), np.column_stack([*columns.values()]))


def score_of(parsed: export.Parsed, model: str, benchmark: str) -> float:
    table = parsed.scores.set_index(["model", "benchmark"])
    return float(table.loc[(model, benchmark), "score"])


def zipped(table: str, inside: str = "leaderboard.csv") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(inside, table)
    return buffer.getvalue()


# ---- several rows of one model
# ------------------------------------------------------------------------------


def test_of_equally_full_rows_without_ids_the_first_is_kept(tmp_path: Path) -> None:
    parsed = parse(tmp_path, "model_name,A,B\nm,.1,.2\nm,.3,.4\nm,.5,.6\n")
    assert score_of(parsed, "m", "A") == 0.1
    assert parsed.duplicates == ["'m': lines 2, 3, 4; kept line 2"]


def test_without_ids_a_fuller_row_is_kept_wherever_it_stands(tmp_path: Path) -> None:
    parsed = parse(tmp_path, "model_name,A,B\nm,.1,\nm,.3,.4\nm,X,.6\n")
    assert score_of(parsed, "m", "A") == 0.3
    assert parsed.duplicates == ["'m': lines 2, 3, 4; kept line 3"]


def test_the_highest_id_is_kept_wherever_it_stands_and_ids_are_numbers(tmp_path: Path) -> None:
    # as text "9" would be above "10"
    parsed = parse(tmp_path, "model_name,model_id,A,B\nm,9,.1,.2\nm,10,.3,.4\nm,2,.5,.6\n")
    assert score_of(parsed, "m", "A") == 0.3


def test_a_row_whose_id_is_no_number_loses_to_any_that_has_one(tmp_path: Path) -> None:
    parsed = parse(tmp_path, "model_name,model_id,A,B\nm,none,.1,.2\nm,0,.3,.4\nm,,.5,.6\n")
    assert score_of(parsed, "m", "A") == 0.3


def test_only_leaves_count_for_the_fullest_row(tmp_path: Path) -> None:
    # by hand: row 2 has one leaf and its category, row 3 two leaves; of all columns they have two each
    parsed = parse(tmp_path, "model_name,neural_vision,V1,V2\nm,.1,.2,\nm,,.3,.4\n")
    assert score_of(parsed, "m", "V1") == 0.3


def test_each_model_keeps_one_row_and_is_counted_once(tmp_path: Path) -> None:
    parsed = parse(tmp_path, "model_name,A,B\nm,.1,.2\nn,.5,X\nm,.3,.4\n")
    assert parsed.scores["model"].tolist() == ["m", "m", "n", "n"]
    assert parsed.scores["benchmark"].tolist() == ["A", "B"] * 2
    assert parsed.scores["status"].tolist() == ["scored", "scored", "scored", "failed"]
    assert parsed.benchmarks["n_scored"].tolist() == [2, 1]
    assert parsed.duplicates == ["'m': lines 2, 4; kept line 2"]


def test_a_leaderboard_without_repeated_models_reports_none(tmp_path: Path) -> None:
    assert parse(tmp_path, "model_name,A,B\nm,.1,.2\nn,.3,.4\n").duplicates == []


# ---- cells
# ---------------------------------------------------------------------------------------------------


def test_a_lower_case_x_is_no_score_and_not_failed_either(tmp_path: Path) -> None:
    with pytest.raises(AlignsecError, match=r"l\.csv:3: column 'B': 'x' is no score"):
        parse(tmp_path, "model_name,A,B\nm,X,.2\nn,.1,x\n")


def test_blanks_around_a_cell_say_nothing(tmp_path: Path) -> None:
    parsed = parse(tmp_path, "model_name,A,B,C\nm, X ,  , .25 \n")
    assert parsed.scores["status"].tolist() == ["failed", "missing", "scored"]
    assert score_of(parsed, "m", "C") == 0.25
    assert np.isnan(score_of(parsed, "m", "A")) and np.isnan(score_of(parsed, "m", "B"))


def test_a_warning_begins_beyond_the_lowest_and_the_highest_published_score(tmp_path: Path) -> None:
    # -0.067 and 1.2 were published (May 2025)
    parsed = parse(tmp_path, "model_name,A,B\nm,-0.067,1.2\nn,-0.0671,1.2001\n")
    assert [w.partition(":")[2] for w in parsed.warnings[:2]] == [
        "3: column 'A': -0.0671 is outside the published range",
        "3: column 'B': 1.2001 is outside the published range",
    ]
    assert not any("outside" in w for w in parsed.warnings[2:])


@pytest.mark.parametrize(("strange", "further"), [(20, None), (21, "1 more"), (25, "5 more")])
def test_twenty_scores_outside_the_range_are_named_and_the_others_counted(
    tmp_path: Path, strange: int, further: str | None
) -> None:
    rows = "".join(f"m{i},7,.1\n" for i in range(strange))
    told = [w for w in parse(tmp_path, "model_name,neural_vision,V1\n" + rows).warnings if "outside" in w]
    assert sum("is outside" in w for w in told) == 20
    assert told[20:] == ([] if further is None else [w for w in told if f": {further} scores outside" in w])
    assert len(told) == 20 + (further is not None)


# ---- the tree from the columns -----------------------------------------------------------------------------

FIVE = [0.1, 0.2, 0.3, 0.4, 0.5]


def test_a_column_of_five_values_is_evidence_and_one_of_four_is_a_coincidence() -> None:
    assert parents(P=FIVE, A=FIVE) == {"A": "P"}
    four = [0.1, 0.2, 0.3, 0.4, 0.4]
    assert parents(P=four, A=four) == {}


def test_a_category_needs_two_values_and_a_constant_one_is_no_parent() -> None:
    assert parents(neural_vision=[0.1, 0.1, 0.2], A=[0.1, 0.1, 0.2]) == {"A": "neural_vision"}
    assert parents(neural_vision=[0.1] * 3, A=[0.1] * 3) == {}


def test_values_are_counted_where_the_parent_has_one() -> None:
    # the parent's fifth value is missing: four are left
    assert parents(P=[0.1, 0.2, 0.3, 0.4, NAN], A=FIVE) == {}
    assert parents(P=[*FIVE, NAN], A=[*FIVE, 0.9]) == {"A": "P"}


@pytest.mark.parametrize(("off", "found"), [(0.001, True), (-0.001, True), (0.00102, False)])
def test_a_parent_may_be_off_by_what_rounding_to_three_decimals_explains(off: float, found: bool) -> None:
    assert bool(parents(P=[v + off for v in FIVE], A=FIVE)) is found


@pytest.mark.parametrize(
    ("strays", "by", "found"),
    [
        (1, 0.02, True),  # 19 of 20 rows are 95 %, and .02 is below 20 times .00101
        (2, 0.02, False),  # 90 %
        (1, 0.0203, False),  # above 20 times .00101
        (1, -0.0203, False),
    ],
)
def test_one_row_in_twenty_may_stray_and_not_far(strays: int, by: float, found: bool) -> None:
    child = [0.01 * i for i in range(1, 21)]
    parent = [v + by if i < strays else v for i, v in enumerate(child)]
    assert bool(parents(P=parent, A=child)) is found


def test_a_missing_child_counts_as_nought_as_in_brain_score() -> None:
    a, b = [0.2, 0.4, 0.6, 0.8, 1.0], [0.4, 0.6, NAN, 0.4, 0.4]
    # by hand (.2+.4)/2, (.4+.6)/2, (.6+0)/2, (.8+.4)/2, (1+.4)/2
    mean = [0.3, 0.5, 0.3, 0.6, 0.7]
    assert parents(P=[*mean, 0.1], A=[*a, 0.2], B=[*b, NAN]) == {"A": "P", "B": "P"}
    # the mean of the one that is there
    assert parents(P=[*mean, 0.2], A=[*a, 0.2], B=[*b, NAN]) == {}


def test_the_fewest_nearest_columns_that_explain_a_parent_are_its_children() -> None:
    # P is A; that it is the mean of A and B as well changes nothing
    assert parents(P=FIVE, A=FIVE, B=FIVE) == {"A": "P"} | {"B": "A"}
    low = [v / 2 for v in FIVE]
    assert parents(P=FIVE, A=FIVE, B=low) == {"A": "P"}


def test_parents_have_parents_and_roots_of_subtrees_are_what_is_averaged() -> None:
    a, b, c = FIVE, [0.3, 0.1, 0.5, 0.2, 0.9], [0.8, 0.2, 0.1, 0.6, 0.5]
    ab = [(p + q) / 2 for p, q in zip(a, b, strict=True)]
    top = [(p + q) / 2 for p, q in zip(ab, c, strict=True)]
    assert parents(T=top, AB=ab, A=a, B=b, C=c) == {"A": "AB", "B": "AB", "AB": "T", "C": "T"}


def test_no_average_takes_engineering_in() -> None:
    neural, engineering = FIVE, [0.3, 0.1, 0.5, 0.2, 0.9]
    both = [(p + q) / 2 for p, q in zip(neural, engineering, strict=True)]
    assert parents(average_vision=both, neural_vision=neural, engineering_vision=engineering) == {}
    behavior = [0.9, 0.1, 0.3, 0.3, 0.7]
    mean = [(p + q) / 2 for p, q in zip(neural, behavior, strict=True)]
    found = parents(
        average_vision=mean, neural_vision=neural, behavior_vision=behavior, engineering_vision=engineering
    )
    assert found == {"neural_vision": "average_vision", "behavior_vision": "average_vision"}


# ---- the tree from the names -------------------------------------------------------------------------------


def test_a_benchmark_whose_known_parent_is_absent_hangs_on_the_nearest_ancestor(tmp_path: Path) -> None:
    # MajajHong2015.IT-pls is a child of IT, IT of neural_vision (leaderboard of May 2025)
    parsed = parse(tmp_path, "model_name,average_vision,neural_vision,MajajHong2015.IT-pls\nm,.1,.2,.3\n")
    tree = parsed.benchmarks.set_index("benchmark")
    assert tree["parent"].to_dict() == {
        "average_vision": None,
        "neural_vision": "average_vision",
        "MajajHong2015.IT-pls": "neural_vision",
    }
    assert tree["depth"].tolist() == [0, 1, 2]
    assert tree["category"].tolist() == [None, "neural", "neural"]
    assert tree["is_leaf"].tolist() == [False, False, True]


def test_a_known_benchmark_alone_keeps_its_category(tmp_path: Path) -> None:
    tree = parse(tmp_path, "model_name,MajajHong2015.IT-pls\nm,.3\n").benchmarks
    assert tree.loc[0, ["parent", "category", "depth", "is_leaf"]].tolist() == [None, "neural", 0, True]


def test_an_unknown_benchmark_belongs_to_the_category_whose_columns_are_being_read(tmp_path: Path) -> None:
    parsed = parse(
        tmp_path, "model_name,Q0,neural_vision,Q1,behavior_vision,Q2,engineering_vision,Q3\nm,1,1,1,1,1,1,1\n"
    )
    tree = parsed.benchmarks.set_index("benchmark")
    assert {b: tree.loc[b, "category"] for b in ("Q0", "Q1", "Q2", "Q3")} == {
        "Q0": None,
        "Q1": "neural",
        "Q2": "behavior",
        "Q3": "engineering",
    }
    assert tree.loc["engineering_vision", "parent"] is None
    assert parsed.warnings == [
        "benchmark 'Q0' is unknown, and its columns do not tell its category: it has none; to give it one, "
        "set leaderboard.categories: {Q0: neural} (or behavior, engineering)"
    ]


def test_an_unknown_benchmark_belongs_to_the_area_that_its_id_names(tmp_path: Path) -> None:
    header = "Model,neural_vision,V1,V4,Lab2027.V4-rdm,Lab2027.IT-rdm,Lab2027.V40-rdm\n"
    for file in (zipped(header + "m,1,.1,.2,.3,.4,.5\n"), header + "m,1,.1,.2,.3,.4,.5\n"):
        tree = parse(tmp_path, file).benchmarks.set_index("benchmark")
        assert tree.loc["Lab2027.V4-rdm", ["parent", "category", "depth"]].tolist() == ["V4", "neural", 2]
        # IT has no column, V40 is no area: they stand among the neural columns
        assert tree.loc[["Lab2027.IT-rdm", "Lab2027.V40-rdm"], "parent"].tolist() == ["neural_vision"] * 2


def test_columns_out_of_order_tell_nothing_of_an_unknown_benchmark_but_its_name_may(tmp_path: Path) -> None:
    header = "Model,V1,neural_vision,Lab2027.V1-rdm,behavior_vision,Lab2027-x\n"
    parsed = parse(tmp_path, header + "m,.1,.2,.3,.4,.5\n")
    tree = parsed.benchmarks.set_index("benchmark")
    assert tree.loc["Lab2027.V1-rdm", "parent"] == "V1"
    assert tree.loc["Lab2027-x", ["parent", "category"]].tolist() == [None, None]
    assert [w.split("'")[1] for w in parsed.warnings] == ["Lab2027-x"]


def test_a_zip_gives_the_tree_of_its_table(tmp_path: Path) -> None:
    rows = "".join(f"m{i},0.{i},0.{i}\n" for i in range(1, 8))
    for file in (zipped("Model,P,Q\n" + rows), "model_name,P,Q\n" + rows):
        assert parse(tmp_path, file).benchmarks["parent"].tolist() == [None, "P"]


def test_the_tree_is_listed_depth_first_with_siblings_as_given() -> None:
    given = {"a": None, "b": None, "a1": "a", "b1": "b", "a2": "a", "a1x": "a1"}
    assert tree_order(given) == ["a", "a1", "a1x", "a2", "b", "b1"]


def test_a_version_and_a_labs_prefix_are_no_part_of_a_benchmarks_short_name() -> None:
    assert display_name(" tong.Coggan2024_fMRI.V1-rdm_v12 ") == "coggan2024_fmri.v1-rdm"
    assert display_name("Lab.V1_v2x") == "lab.v1_v2x"


# ---- the file
# ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "variant"),
    [
        ("model_name,A", "CSV by benchmark id"),
        ("model_name,rank,A", "CSV by benchmark id with rank"),
        ("rank,model_id,model_name,layers,A", "CSV by benchmark id with layers, model_id, rank"),
    ],
)
def test_columns_about_the_model_are_named_and_are_no_benchmarks(
    tmp_path: Path, header: str, variant: str
) -> None:
    row = ",".join({"model_name": "m", "A": ".5"}.get(h, "3") for h in header.split(","))
    parsed = parse(tmp_path, f"{header}\n{row}\n")
    assert parsed.variant == variant
    assert parsed.scores.to_dict("records") == [
        {"model": "m", "benchmark": "A", "score": 0.5, "status": "scored"}
    ]


def test_model_name_is_the_model_where_there_is_a_column_model_as_well(tmp_path: Path) -> None:
    parsed = parse(tmp_path, "model,model_name,A\nshown,id,.5\n")
    assert parsed.scores["model"].tolist() == ["id"]


def test_a_leaderboard_of_models_only_has_nothing_to_study(tmp_path: Path) -> None:
    with pytest.raises(AlignsecError, match="no benchmark column; the header is model_name, rank"):
        parse(tmp_path, "model_name,rank\nm,1\n")


def test_two_columns_of_one_benchmark_are_refused_with_both_names(tmp_path: Path) -> None:
    with pytest.raises(AlignsecError, match=r":1: columns \['V1', 'V1_v0'\] name the same benchmark 'V1'"):
        parse(tmp_path, "model_name,V2,V1,V1_v0\nm,.1,.2,.3\n")


def test_a_model_of_blanks_has_no_name(tmp_path: Path) -> None:
    with pytest.raises(AlignsecError, match=r":3: column 'model_name' is empty"):
        parse(tmp_path, "model_name,A\nm,.1\n  ,.2\n")


def test_line_numbers_count_comments_blank_lines_and_line_ends_inside_cells(tmp_path: Path) -> None:
    text = '# one\n\n  # two\nmodel_name,A\n"a\nb",.1\n#c,.2\n\nd,what\n'
    with pytest.raises(AlignsecError, match=r":9: column 'A': 'what' is no score"):
        parse(tmp_path, text)
    parsed = parse(tmp_path, text.replace("what", ".3"))
    # below the header a # begins a name
    assert parsed.scores["model"].tolist() == ["a\nb", "#c", "d"]
    twice = parse(tmp_path, text.replace("d,what", "#c,.3"))
    assert twice.duplicates == ["'#c': lines 7, 9; kept line 7"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# c\nmodel_name\nm\n", r":2: one column only \('model_name'\)"),
        ("# c\nmodel_name,,A\nm,.1,.2\n", r":2: column 2 has no name"),
        (
            "# c\nmodel_name,A,B,A\nm,1,1,1\n",
            r":2: column 'A' occurs twice in the header \(columns \[2, 4\]\)",
        ),
        ("# only\n# comments\n", "the file has no header"),
        ("model_name,A\n# c\n", ":2: 1 cells where the header has 2 columns"),
        ("model_name,A\nm,.1,.2\n", ":2: 3 cells where the header has 2 columns"),
        ('model_name,A\nm,.1\nn,"a"b\n', ":3: not a CSV file"),
        (" \t\r\n ", "the file is empty"),
        (b"\xef\xbb\xbf \n<HTML>", ":1: a web page"),
        ("<?xml version='1.0'?>", ":1: a web page"),
        (b"model_name,A\nm,.1\nn\x81,.2\n", r":3: not UTF-8 text \(byte 19\)"),
        (b"model_name,A\nm\0,.1\n", "binary data"),
        ("  NO models submitted yet...\n", "no models were submitted yet"),
    ],
)
def test_each_kind_of_damage_is_told_from_the_others(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(AlignsecError, match=message):
        parse(tmp_path, text)


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    assert parse(tmp_path, b"\xef\xbb\xbfmodel_name,A\nm,.5\n").scores["model"].tolist() == ["m"]


def test_a_file_that_is_not_there_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(AlignsecError, match=r"gone\.csv: cannot be read: No such file"):
        export.parse(tmp_path / "gone.csv")


@pytest.mark.parametrize(("claimed", "too_large"), [(209_715_200, False), (209_715_201, True)])
def test_a_zip_that_claims_more_than_200_mib_is_not_unpacked(
    tmp_path: Path, claimed: int, too_large: bool
) -> None:
    raw = zipped("Model,A\nm,.5\n")
    # the size unpacked stands 24 bytes into the central directory's entry (APPNOTE 4.3.12); 200 * 1024 * 1024
    at = raw.index(b"PK\x01\x02") + 24
    (tmp_path / "l.zip").write_bytes(raw[:at] + claimed.to_bytes(4, "little") + raw[at + 4 :])
    try:
        export.parse(tmp_path / "l.zip")
        message = ""
    except AlignsecError as error:
        message = str(error)
    assert ("larger than 209715200 bytes" in message) is too_large


def test_a_zip_may_hold_its_leaderboard_in_a_folder_and_nothing_by_another_name(tmp_path: Path) -> None:
    table = "Model,A\nm,.5\n"
    parsed = parse(tmp_path, zipped(table, "deep/down/leaderboard.csv"))
    assert (parsed.variant, score_of(parsed, "m", "A")) == ("ZIP with leaderboard.csv", 0.5)
    with pytest.raises(AlignsecError, match=r"holds no leaderboard\.csv, only old-leaderboard\.csv"):
        parse(tmp_path, zipped(table, "old-leaderboard.csv"))


# ---- fetching
# ------------------------------------------------------------------------------------------------


def test_without_a_hash_a_file_is_taken_as_it_is_and_its_hash_returned(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"abc")
    # SHA-256 of "abc", FIPS 180-4
    wanted = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert export.fetch(str(tmp_path / "a.csv"), tmp_path / "out.csv", None) == wanted
    assert (tmp_path / "out.csv").read_bytes() == b"abc"


@pytest.mark.parametrize("wrong", ["0" * 64, "f" * 64, ""])
def test_any_other_hash_is_refused_and_leaves_no_file(tmp_path: Path, wrong: str) -> None:
    (tmp_path / "a.csv").write_bytes(b"abc")
    with pytest.raises(AlignsecError, match=r"leaderboard\.sha256: .*a\.csv has SHA-256 ba7816bf"):
        export.fetch(str(tmp_path / "a.csv"), tmp_path / "out.csv", wrong)
    assert [p.name for p in tmp_path.iterdir()] == ["a.csv"]
