"""The bundled table of kinds against the real leaderboard, and what is refused in one of the user's own."""

from pathlib import Path

import pandas as pd
import pytest

from alignsec.ground.errors import AlignsecError
from alignsec.leaderboard import export
from alignsec.study import kinds
from tests.conftest import ROOT

BUNDLED = ROOT / "config" / "kinds.tsv"
ROW = ["b", "k", "V1", "predictivity", "textures", "V1 predictivity"]


def written(path: Path, *rows: list[str]) -> Path:
    file = path / "kinds.tsv"
    file.write_text("".join("\t".join(row) + "\n" for row in [kinds.COLUMNS, *rows]))
    return file


@pytest.fixture(scope="module")
def benchmarks(data_dir: Path) -> pd.DataFrame:
    return export.parse(data_dir / "brainscore" / "leaderboard_2025-05-07.csv").benchmarks


def test_every_leaf_of_the_leaderboard_has_a_kind_and_no_row_is_of_another(benchmarks: pd.DataFrame) -> None:
    table = kinds.read(BUNDLED)
    assert set(table["benchmark"]) == set(benchmarks.loc[benchmarks["is_leaf"], "benchmark"])
    found, unlisted = kinds.of_leaves(table, benchmarks)
    assert unlisted == [] and len(found) == len(table)


def test_areas_are_those_of_the_benchmark_tree(benchmarks: pd.DataFrame) -> None:
    table = kinds.read(BUNDLED).set_index("benchmark")
    parents = benchmarks.set_index("benchmark")["parent"]
    categories = benchmarks.set_index("benchmark")["category"]
    for leaf, area in table["area"].items():
        above, at = set(), str(leaf)
        while isinstance(at := parents[at], str):
            above.add(at)
        assert (area in above) if categories[leaf] == "neural" else (area == categories[leaf]), leaf


def test_there_are_18_to_20_kinds_and_each_is_one_area_metric_and_paradigm() -> None:
    table = kinds.read(BUNDLED)
    assert 18 <= table["kind"].nunique() <= 20
    meanings = table[["kind", "area", "metric", "paradigm", "name"]].drop_duplicates()
    assert meanings["kind"].is_unique and meanings["name"].is_unique
    assert not meanings.duplicated(["area", "metric", "paradigm"]).any()
    # a label of a figure
    assert meanings["kind"].str.len().max() <= 30


def test_a_leaf_that_the_table_lacks_is_other_of_its_category_and_is_named() -> None:
    table = pd.DataFrame([ROW], columns=kinds.COLUMNS)
    benchmarks = pd.DataFrame(
        {
            "benchmark": ["b", "parent", "new", "newer"],
            "category": ["neural", "neural", "engineering", None],
            "is_leaf": [True, False, True, True],
        }
    )
    found, unlisted = kinds.of_leaves(table, benchmarks)
    assert list(found["kind"]) == ["k", "other engineering", "other unknown"]
    assert list(found["area"]) == ["V1", "engineering", "unknown"]
    assert unlisted == ["new", "newer"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([ROW, ROW], "kinds.tsv:3: benchmark 'b' is already on line 2"),
        ([[*ROW[:2], "V3", *ROW[3:]]], "kinds.tsv:2: column 'area': area 'V3' is not one of V1, V2"),
        ([[*ROW[:5], " "]], "kinds.tsv:2: column 'name' is empty"),
        ([ROW, ["c", "k", "V2", *ROW[3:]]], "kinds.tsv:3: kind 'k' is V2 x predictivity x textures"),
        ([ROW, ["c", "other", *ROW[2:]]], "kinds that begin with 'other'"),
        ([ROW, ["c", "l", *ROW[2:5], "another name"]], "kinds.tsv:3: kind 'l'"),
        ([ROW, ["c", "l", "V2", *ROW[3:]]], "kinds.tsv:3: kind 'l'"),
    ],
)
def test_a_faulty_table_is_refused_with_its_line(rows: list[list[str]], message: str, tmp_path: Path) -> None:
    with pytest.raises(AlignsecError) as caught:
        kinds.read(written(tmp_path, *rows))
    assert message in str(caught.value)


def test_another_header_is_refused_with_the_one_that_is_meant(tmp_path: Path) -> None:
    (tmp_path / "kinds.tsv").write_text("benchmark\tkind\nb\tk\n")
    with pytest.raises(AlignsecError, match="the header must be benchmark, kind, area"):
        kinds.read(tmp_path / "kinds.tsv")
    with pytest.raises(AlignsecError, match=r"set analysis\.kinds"):
        kinds.read(tmp_path / "absent.tsv")
