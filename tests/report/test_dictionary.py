"""Every column of a study's tables is explained once."""

from pathlib import Path

import pytest

from alignsec.ground import tables
from alignsec.ground.schemas import SCHEMAS
from alignsec.report import dictionary

WIDE = ("tables/models.csv", "scores/leaderboard.csv")  # a column per target, or as published


def unexplained(folder: Path) -> dict[str, list[str]]:
    """Columns without a meaning in the CSV tables below a study's folder."""
    lost = {}
    for path in sorted(folder.rglob("*.csv")):
        if (
            f"{path.parent.name}/{path.name}" in WIDE or path.parent.parent.name == "published"
        ):  # sources keep their own columns
            continue
        known = dictionary.MEANINGS.keys() | dictionary.OF_TABLE.get(path.stem, {}).keys()
        known |= dictionary.OF_TABLE.get(f"{path.parent.name}/{path.stem}", {}).keys()
        if missing := [c for c in tables.read_csv(path).columns if c not in known]:
            lost[path.name] = missing
    return lost


def test_every_column_of_a_schema_is_explained() -> None:
    every = {column for columns in SCHEMAS.values() for column in columns} - {"*"}
    assert every - dictionary.MEANINGS.keys() == set()


def test_the_table_has_a_row_per_column_and_table() -> None:
    found = dictionary.table()
    assert list(found.columns) == dictionary.COLUMNS
    assert not found.duplicated(["table", "column"]).any()
    assert found.notna().all(axis=None) and (found["meaning"].str.len() > 0).all()
    # an override says something else
    for columns in dictionary.OF_TABLE.values():
        assert all(dictionary.MEANINGS.get(c) != said for c, said in columns.items())


def test_a_column_without_a_meaning_is_found(tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("model,brightness\na,1\n")
    assert unexplained(tmp_path) == {"new.csv": ["brightness"]}


@pytest.mark.parametrize("unit", [dictionary.RHO, dictionary.SHARE, dictionary.PIXELS])
def test_units_say_their_range(unit: str) -> None:
    assert "1" in unit
